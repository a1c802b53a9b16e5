using Overlay.Dataplane.Operator;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>Who has which address: asked of the agent when an address is first seen, and again after a while, as pods' addresses change hands.</summary>
/// <param name="ask">Asks the agent; null: there is none. Throws <see cref="OperatorException"/>.</param>
/// <param name="failed">Told once of every row of failures.</param>
internal sealed class AddressNames(Func<IReadOnlyList<string>, CancellationToken, Task<IReadOnlyList<NamedAddress>>>? ask, Action<string> failed)
{
    /// <summary>Addresses of one question.</summary>
    public const int Most = 500;

    private const int Room = 100_000; // a scan of ports is one address; one of addresses is not to fill the memory
    private static readonly TimeSpan KeepKnown = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan KeepUnknown = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private readonly Dictionary<InetAddress, (NamedAddress Name, DateTime Until)> _known = [];
    private DateTime _next;
    private bool _isFailing;

    /// <summary>Says who has an address, for good.</summary>
    public void Add(InetAddress address, NamedAddress name) => _known[address] = (name, DateTime.MaxValue);

    /// <summary>Who has it, as far as it is known.</summary>
    public NamedAddress Of(InetAddress address) => _known.TryGetValue(address, out var known) ? known.Name : new(address.ToString(), null, null);

    /// <summary>Asks for those that are not known. Questions are a tenth of a second apart, so that no stream of new addresses keeps the agent busy: packets wait meanwhile.</summary>
    public async Task LearnAsync(IEnumerable<InetAddress> addresses)
    {
        var now = DateTime.UtcNow;
        if (ask is null || (_isFailing && now < _next))
            return;
        if (_known.Count > Room)
            _known.Clear();
        foreach (var unknown in addresses.Distinct().Where(address => !_known.TryGetValue(address, out var known) || known.Until < now).Chunk(Most).ToList())
        {
            if (_next - DateTime.UtcNow is { Ticks: > 0 } wait)
                await Task.Delay(wait);
            if (!await AskAsync(unknown))
                return;
        }
    }

    private async Task<bool> AskAsync(InetAddress[] addresses)
    {
        using var patience = new CancellationTokenSource(Patience);
        string why;
        try
        {
            var names = (await ask!([.. addresses.Select(address => address.ToString())], patience.Token)).ToDictionary(name => name.Address, StringComparer.Ordinal);
            var now = DateTime.UtcNow;
            foreach (var address in addresses)
            {
                var isNamed = names.TryGetValue(address.ToString(), out var name);
                _known[address] = (name ?? new(address.ToString(), null, null), now + (isNamed ? KeepKnown : KeepUnknown));
            }

            (_isFailing, _next) = (false, now + Between);
            return true;
        }
        catch (OperatorException exception)
        {
            why = exception.Message;
        }
        catch (OperationCanceledException)
        {
            why = $"The agent does not answer within {Patience.TotalSeconds} s.";
        }

        if (!_isFailing)
            failed($"{why} Addresses that are new stay without names until it answers.");
        (_isFailing, _next) = (true, DateTime.UtcNow + KeepUnknown);
        return false;
    }
}
