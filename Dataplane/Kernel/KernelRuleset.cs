using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// The kernel's table, read back, to walk packets through. What is in it and none of ours cannot be walked: whoever comes by it is told so
/// (<see cref="NotSupportedException"/>), and whoever does not come by it is not disturbed.
/// </summary>
public sealed class KernelRuleset : IRulesetView
{
    private readonly RulesetView _known;
    private readonly Dictionary<string, string> _foreignChains = [];
    private readonly Dictionary<string, string> _foreignSets = [];
    private readonly Dictionary<Hook, string> _foreignHooks = [];

    /// <summary>Raises the rules of a dump.</summary>
    public KernelRuleset(NftablesDump dump)
    {
        ArgumentNullException.ThrowIfNull(dump);
        var sets = new Dictionary<string, Set>();
        foreach (var message in dump.Sets.Values)
        {
            if (message.ToSet() is not { } set)
                _foreignSets.Add(message.Name, $"set {message.Name} is of a type that is none of ours");
            else if (dump.Elements[set.Name].Any(element => element.Key.Length == 0 || !set.IsOfKind(element)))
                _foreignSets.Add(set.Name, $"set {set.Name} holds an element that is none of ours");
            else
                sets.Add(set.Name, set);
        }

        var chains = new Dictionary<string, Chain>();
        var dormant = dump.Table is { } table && table.Flags.HasFlag(NftTableFlags.NFT_TABLE_F_DORMANT);
        foreach (var found in dump.Chains.Values)
        {
            var chain = dormant && found.Chain.Base is not null ? null : Raise(found);
            if (chain is not null)
                chains.Add(chain.Name, chain);
        }

        _known = new(new(chains, sets, sets.Keys.ToDictionary(name => name, name => dump.Elements[name])));
    }

    /// <inheritdoc/>
    public IReadOnlyList<Chain> BaseChains(Hook hook) => _foreignHooks.TryGetValue(hook, out var reason) ? throw new NotSupportedException(reason) : _known.BaseChains(hook);

    /// <inheritdoc/>
    public Chain? FindChain(string name) => _foreignChains.TryGetValue(name, out var reason) ? throw new NotSupportedException(reason) : _known.FindChain(name);

    /// <inheritdoc/>
    public ISetView? FindSet(string name) => _foreignSets.TryGetValue(name, out var reason) ? throw new NotSupportedException(reason) : _known.FindSet(name);

    // Null, and noted as foreign, when it is none of ours. A dormant table has no base chains that work.
    private Chain? Raise(KernelChain found)
    {
        var name = found.Chain.Name;
        var hook = found.Chain.Base;
        BaseChain? wanted = hook is not { } attached ? null : new(attached.Type == "nat" ? ChainType.Nat : ChainType.Filter, (Hook)attached.Number, attached.Priority);
        string? reason = null;
        if (ChainHook.Of(wanted) != hook)
            reason = $"chain {name} is attached as \"{hook}\", which is none of ours";
        var rules = new List<Rule>();
        foreach (var message in found.Rules)
        {
            if (Raising.Raise(message) is { } rule)
                rules.Add(rule);
            else
                reason ??= $"chain {name} holds a rule that is none of ours: {message}";
        }

        if (reason is null)
            return new(name, wanted, new([.. rules]));
        _foreignChains.Add(name, reason);
        if (hook is { } at)
            _foreignHooks.TryAdd((Hook)at.Number, reason);
        return null;
    }
}
