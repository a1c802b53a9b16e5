using System.Globalization;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>What of other network providers runs on this machine, or was left by them.</summary>
internal static class OtherProviderCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "other cni";

    private const int Shown = 3;
    private const string FallbackTunnel = "tunl0"; // the module ipip makes it in every namespace; it is nobody's until it has an address

    /// <summary>Judges devices. Pure.</summary>
    /// <param name="links">Of this machine.</param>
    /// <param name="addresses">Of this machine.</param>
    public static IEnumerable<Finding> OfDevices(IEnumerable<LinkMessage> links, IReadOnlyList<AddressMessage> addresses)
    {
        var devices = links.ToList();
        var findings = KnownProvider.All
            .Select(provider => (Provider: provider, Found: devices.Select(link => link.Name).Where(name => KnownProvider.Matches(provider.Devices, name)).Order(StringComparer.Ordinal).ToList()))
            .Where(found => found.Found.Count > 0)
            .Select(found => Warn(found.Provider, $"devices {Listing(found.Found)}"))
            .ToList();
        if (devices.Find(link => link is { Name: FallbackTunnel, IsUp: true } && addresses.Any(address => address.Index == link.Index)) is not null)
            findings.Add(Finding.Warn(Name, $"device {FallbackTunnel} is in use: Calico's IP-in-IP, or another's, runs here or was left", $"When its provider is gone: ip address flush dev {FallbackTunnel}, and ip link set {FallbackTunnel} down."));
        return findings.Count > 0 ? findings : [Finding.Pass(Name, "no devices of other providers")];
    }

    /// <summary>Judges tables and chains of nftables. Pure.</summary>
    public static IEnumerable<Finding> OfChains(IReadOnlyList<NftName> names)
    {
        var findings = KnownProvider.All
            .Select(provider => (Provider: provider, Found: names.Select(name => TextOf(provider, name)).OfType<string>().Distinct().Order(StringComparer.Ordinal).ToList()))
            .Where(found => found.Found.Count > 0)
            .Select(found => Warn(found.Provider, Listing(found.Found)))
            .ToList();
        return findings.Count > 0 ? findings : [Finding.Pass(Name, "no nftables chains of other providers, those of iptables-nft included")];
    }

    private static string? TextOf(KnownProvider provider, NftName name) =>
        KnownProvider.Matches(provider.Tables, name.Table) ? $"table {name.FamilyName} {name.Table}"
        : KnownProvider.Matches(provider.Chains, name.Chain) ? $"chain {name.FamilyName} {name.Table} {name.Chain}"
        : null;

    private static Finding Warn(KnownProvider provider, string what) =>
        Finding.Warn(Name, $"{provider.Name} runs here or was left: {what}", $"Two providers on a node disturb each other. Once it is gone from the cluster: {provider.Cleanup}.");

    private static string Listing(List<string> names) => names.Count <= Shown
        ? string.Join(", ", names)
        : string.Create(CultureInfo.InvariantCulture, $"{string.Join(", ", names.Take(Shown))} and {names.Count - Shown} more");
}
