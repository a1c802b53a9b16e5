using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink.Route;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>A route of the main table, or an address, that is not ours.</summary>
/// <param name="Prefix">Its destination; of an address its subnet.</param>
/// <param name="Gateway">The next hop; null when what is there is on the link.</param>
/// <param name="Text">For people: <c>route 10.42.0.0/16 via 192.0.2.7 dev eth0</c>.</param>
/// <param name="Remedy">The command that removes it.</param>
internal sealed record ForeignPrefix(Cidr Prefix, InetAddress? Gateway, string Text, string Remedy)
{
    /// <summary>What of a machine is not ours; without default routes, and without routes that come and go with an address.</summary>
    public static IEnumerable<ForeignPrefix> Of(IEnumerable<LinkMessage> links, IReadOnlyList<AddressMessage> addresses, IEnumerable<RouteMessage> routes)
    {
        var names = links.ToDictionary(link => link.Index, link => link.Name);
        var foreign = addresses.Where(address => names.TryGetValue(address.Index, out var name) && !Ownership.IsOurs(name)).ToList();
        foreach (var address in foreign)
            yield return new(address.Prefix.Network, null, $"address {address.Prefix} of {names[address.Index]}", $"ip address delete {address.Prefix} dev {names[address.Index]}");
        foreach (var route in routes.Where(route => route.Protocol != (Rtprot)Ownership.RouteProtocol && route.Destination.PrefixLength > 0))
        {
            var device = route.OutputInterface is { } index ? names.GetValueOrDefault(index, "") : "";
            var comesWithAddress = route.Gateway is null && foreign.Exists(address => address.Index == route.OutputInterface && address.Prefix.Network == route.Destination);
            if (Ownership.IsOurs(device) || comesWithAddress)
                continue;
            var text = $"{route.Destination}{(route.Gateway is { } gateway ? $" via {gateway}" : "")}{(device.Length > 0 ? $" dev {device}" : "")}";
            yield return new(route.Destination, route.Gateway, $"route {text}", $"ip {(route.Destination.Family == Family.IPv6 ? "-6 " : "")}route delete {text}");
        }
    }
}

/// <summary>The pods' prefixes, and what else this machine has.</summary>
/// <param name="NodeName">This node.</param>
/// <param name="Own">Its podCIDRs.</param>
/// <param name="Nodes">All that are known.</param>
/// <param name="Foreign">What is not ours.</param>
/// <param name="Degradations">What is wrong with nodes, as an agent would tell it; empty when one runs, which tells it itself.</param>
internal sealed record PodNetworkObservation(string NodeName, IReadOnlyList<Cidr> Own, IReadOnlyList<Node> Nodes, IReadOnlyList<ForeignPrefix> Foreign, IReadOnlyList<Degradation> Degradations);

/// <summary>Whether pods' addresses are pods' alone.</summary>
internal static class PodNetworkCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "pod network";

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(PodNetworkObservation observed)
    {
        var claimed = observed.Own.Select(prefix => (Prefix: prefix, Owner: "this node"))
            .Concat(observed.Nodes.Where(node => node.Name != observed.NodeName).SelectMany(node => node.PodCidrs, (node, prefix) => (Prefix: prefix, Owner: $"Node {node.Name}")))
            .ToList();
        if (claimed.Count == 0)
            return []; // what is said of the datastore says why
        var overlaps = observed.Foreign.Select(foreign => Overlap(foreign, claimed)).OfType<Finding>()
            .Concat(observed.Degradations.Where(degradation => degradation.Subject == $"Node {observed.NodeName}" && degradation.Reason.StartsWith("podCIDR ", StringComparison.Ordinal))
                .Select(degradation => Finding.Fail(Name, degradation.ToString().TrimEnd('.'), "Give this node podCIDRs of its own.")))
            .Concat(observed.Degradations.Where(degradation => degradation.Subject.StartsWith("Node ", StringComparison.Ordinal) && degradation.Subject != $"Node {observed.NodeName}")
                .Select(degradation => Finding.Warn(Name, degradation.ToString().TrimEnd('.'), "Correct that Node, unless it is being set up just now.")))
            .ToList();
        return overlaps.Count > 0 ? overlaps : [Finding.Pass(Name, $"{string.Join(", ", observed.Own)}; nothing of this machine overlaps pods' addresses")];
    }

    private static Finding? Overlap(ForeignPrefix foreign, List<(Cidr Prefix, string Owner)> claimed)
    {
        var overlapped = claimed.Where(claim => claim.Prefix.Overlaps(foreign.Prefix)).ToList();
        if (overlapped.Count == 0)
            return null;
        var (prefix, owner) = overlapped[0];
        var what = $"the {foreign.Text} overlaps podCIDR {prefix} of {owner}{(overlapped.Count > 1 ? $" and {overlapped.Count - 1} more" : "")}";

        // The longer prefix wins: a wider route by way of a router only loses what pods have now.
        return foreign.Gateway is not null && overlapped.TrueForAll(claim => claim.Prefix.PrefixLength > foreign.Prefix.PrefixLength)
            ? Finding.Warn(Name, $"{what}, and what is there by that route cannot be reached any more", "Choose podCIDRs apart from the networks that this machine must reach; nothing is to be done when nobody uses these addresses.")
            : Finding.Fail(Name, what, $"Remove it when it is a leftover ({foreign.Remedy}); else choose podCIDRs apart from it.");
    }
}
