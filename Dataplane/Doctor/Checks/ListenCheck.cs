using System.Globalization;
using System.Net;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>A socket of this network namespace.</summary>
/// <param name="Address">Its local address.</param>
/// <param name="Holder">The process that holds it: <c>pid 812 (dnsmasq)</c>; null: the kernel itself, or a process that cannot be seen.</param>
internal sealed record BoundSocket(IPAddress Address, string? Holder);

/// <summary>Whether an agent that starts can listen where it is configured to: it refuses to start when it cannot.</summary>
internal static class ListenCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "ports";

    /// <summary>The addresses at which the agent serves, by key of the configuration. Pure.</summary>
    public static IEnumerable<(string Key, IPEndPoint Address)> Addresses(OverlayConfiguration configuration) =>
        from served in ((string Key, string Address)[])[("metrics.address", configuration.MetricsAddress), ("health.address", configuration.HealthAddress)]
        where served.Address.Length > 0
        let colon = served.Address.LastIndexOf(':')
        select (served.Key, new IPEndPoint(colon == 0 ? IPAddress.IPv6Any : IPAddress.Parse(served.Address[..colon].Trim('[', ']')), int.Parse(served.Address[(colon + 1)..], CultureInfo.InvariantCulture)));

    /// <summary>Judges one of them. Pure.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="address">The address.</param>
    /// <param name="listeners">Who listens on that port, at whichever address.</param>
    public static Finding Judge(string key, IPEndPoint address, IReadOnlyList<BoundSocket> listeners)
    {
        var taken = listeners.FirstOrDefault(other => IsAny(other.Address) || IsAny(address.Address) || other.Address.Equals(address.Address));
        return taken is null
            ? Finding.Pass(Name, $"TCP {address} is free for {key}")
            : Finding.Fail(Name, $"TCP {address} of {key} is taken by {taken.Holder ?? "a process that cannot be seen from here"}, so the agent would not start", $"Set another {key}, or end that process (ss -ltnp sport = {address.Port}).");
    }

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);
}
