using Overlay.CniShim.Protocol;
using Overlay.PolicyEngine.Model;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>What a runtime asks for as port mappings, as host ports of a pod.</summary>
internal static class HostPortClaims
{
    /// <summary>The host ports of a pod that is to be wired.</summary>
    /// <param name="mappings">What is asked for.</param>
    /// <param name="addresses">The pod's addresses; ports lead to the first of each family.</param>
    /// <param name="wired">What is wired on this node: the one who came first keeps a port.</param>
    /// <param name="vxlanPort">UDP port of the tunnel, which no pod can have; null: it has none.</param>
    /// <param name="hostPorts">The host ports; empty when there is a fault.</param>
    /// <returns>Why they cannot be had, or null.</returns>
    public static string? Read(
        IEnumerable<PortMapping> mappings, IReadOnlyCollection<InetAddress> addresses, IEnumerable<Attachment> wired, ushort? vxlanPort, out EquatableArray<HostPort> hostPorts)
    {
        hostPorts = [];
        var ports = new List<HostPort>();
        foreach (var mapping in mappings.Where(mapping => mapping.HostPort != 0))
        {
            if (mapping.Fault is { } fault)
                return fault;
            var found = Of(mapping, addresses);
            if (found.Count == 0 && InetAddress.TryParse(mapping.HostIP, out var at) && at.Value != 0)
                return $"hostPort {mapping.HostPort} is asked for at {at}, and the pod has no address of that family";
            ports.AddRange(found.Where(port => !ports.Contains(port)));
        }

        if (Conflict(ports, wired, vxlanPort) is { } conflict)
            return conflict;
        hostPorts = ports.ToEquatableArray();
        return null;
    }

    // Without an address, or with an unspecified one: at every address of the node, of either family or of that one.
    private static List<HostPort> Of(PortMapping mapping, IReadOnlyCollection<InetAddress> addresses)
    {
        InetAddress? at = InetAddress.TryParse(mapping.HostIP, out var parsed) ? parsed : null;
        InetAddress? only = at is { Value: var value } && value != 0 ? at : null;
        return
        [
            .. from address in addresses.DistinctBy(address => address.Family)
               where at is not { } asked || asked.Family == address.Family
               select new HostPort(Enum.Parse<IpProtocol>(mapping.Protocol, ignoreCase: true), (ushort)mapping.HostPort, only, address, (ushort)mapping.ContainerPort),
        ];
    }

    private static string? Conflict(List<HostPort> ports, IEnumerable<Attachment> wired, ushort? vxlanPort)
    {
        foreach (var port in ports)
        {
            if (port.Protocol == IpProtocol.Udp && port.Port == vxlanPort)
                return $"host port {port} is that of the tunnels between nodes; choose another";

            // Of one pod, a port at one address and the same at all others is no conflict: the former is looked up first.
            if (ports.Any(other => other != port && other.NodeAddress == port.NodeAddress && other.Overlaps(port)))
                return $"host port {port} is asked for twice, for different ports of the pod";
            if (wired.FirstOrDefault(other => other.HostPorts.Any(port.Overlaps)) is { } holder)
                return $"host port {port} is taken by pod {holder.Pod} (container {holder.ContainerId}); DEL that container, or choose another port";
        }

        return null;
    }
}
