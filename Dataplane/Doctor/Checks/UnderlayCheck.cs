using System.Globalization;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>What carries packets between nodes.</summary>
/// <param name="Configuration">Of this node.</param>
/// <param name="Nodes">All that are known.</param>
/// <param name="Underlay">This node's addresses.</param>
/// <param name="Ways">To the other nodes; null when these are not known.</param>
internal sealed record UnderlayObservation(OverlayConfiguration Configuration, IReadOnlyList<Node> Nodes, Underlay Underlay, IReadOnlyList<PeerWay>? Ways);

/// <summary>Whether this node has the addresses that others send to, a way to theirs, and an MTU that fits.</summary>
internal static class UnderlayCheck
{
    /// <summary>Name of the check of addresses.</summary>
    public const string Name = "underlay";

    private const string Mtu = "mtu";

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(UnderlayObservation observed)
    {
        if (observed.Underlay.Addresses.Count == 0)
            return [OfNone(observed)];
        return
        [
            .. observed.Underlay.Addresses.Select(OfAddress),
            .. (observed.Ways ?? []).Where(way => way.Out is null).Select(way => Finding.Fail(Name, $"the kernel knows no way to Node {way.Node} at {way.Address}", "Give this machine a route there, or correct that Node's InternalIP.")),
            .. OfMtu(observed),
        ];
    }

    private static Finding OfNone(UnderlayObservation observed)
    {
        var choice = observed.Configuration.NodeAddress;
        if (choice is not NodeAddressChoice.Auto)
            return Finding.Fail(Name, $"nodeAddress {choice} finds no address on this machine", "Correct nodeAddress (ip address shows what there is).");
        return observed.Nodes.Any(node => node.Name == observed.Configuration.NodeName)
            ? Finding.Fail(Name, $"Node {observed.Configuration.NodeName} has no address of type InternalIP", "Set the Node's status.addresses (kubelet does, by --node-ip), or nodeAddress.")
            : Finding.Warn(Name, "this node's addresses are not known, as its Node is not", "See what is said of the datastore, or set nodeAddress.");
    }

    private static Finding OfAddress(DeviceAddress address) => address.Device.Length > 0
        ? Finding.Pass(Name, string.Create(CultureInfo.InvariantCulture, $"{address.Prefix.Address} on {address.Device}, MTU {address.Mtu}"))
        : Finding.Fail(Name, $"no device of this machine has the node's address {address.Prefix.Address}", "Correct the Node's InternalIP, or set nodeAddress (ip address shows what there is).");

    private static IEnumerable<Finding> OfMtu(UnderlayObservation observed)
    {
        var (configuration, underlay) = (observed.Configuration, observed.Underlay);
        var projected = Project(observed, configuration);
        var wrong = projected.Degradations.Where(degradation => degradation.Subject == Mtu).Select(degradation => degradation.Reason.Split(": ", 2)).ToList();
        if (wrong.Count > 0)
            return wrong.Select(parts => Finding.Fail(Mtu, parts[0], string.Concat(char.ToUpperInvariant(parts[^1][0]).ToString(), parts[^1].AsSpan(1))));
        var most = Project(observed, configuration with { Mtu = null }).Mtu;
        var narrowest = underlay.Addresses.FirstOrDefault(address => address.Mtu - PeerRows.Overhead(configuration.Encapsulation, address.Prefix.Family) == most);
        var why = narrowest.Device is null
            ? "the underlay's"
            : string.Create(CultureInfo.InvariantCulture, $"{narrowest.Mtu} of {(narrowest.Device.Length > 0 ? narrowest.Device : "an Ethernet")}{Less(configuration.Encapsulation, narrowest.Prefix.Family)}");
        return
        [
            Finding.Pass(Mtu, configuration.Mtu is { } set
                ? string.Create(CultureInfo.InvariantCulture, $"pods get {set} bytes, as configured; {most} would fit: {why}")
                : string.Create(CultureInfo.InvariantCulture, $"pods get {most} bytes: {why}")),
        ];
    }

    private static string Less(Encapsulation encapsulation, Family family) => encapsulation == Encapsulation.None ? ""
        : string.Create(CultureInfo.InvariantCulture, $", less {PeerRows.Overhead(encapsulation, family)} for {(encapsulation == Encapsulation.Vxlan ? "VXLAN" : "IP-in-IP")} over {family}");

    private static ProjectedNode Project(UnderlayObservation observed, OverlayConfiguration configuration) =>
        NodeProjection.Project(configuration.NodeName, observed.Nodes, configuration, [], observed.Underlay);
}
