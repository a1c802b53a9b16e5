using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Operator;

/// <summary>Finds pods and nodes by address, and pods by name, in what the node knows. Pure.</summary>
internal static class NameSearch
{
    /// <summary>Answers NAMES.</summary>
    /// <exception cref="OperatorException">What was asked for is no address.</exception>
    public static NameReport Answer(NodeSnapshot snapshot, OperatorRequest request)
    {
        // What a request leaves out is null, whatever its declaration says.
        var asked = (request.Asked ?? []).Select(text => InetAddress.TryParse(text, out var address) ? address : throw new OperatorException($"'{text}' is no address.")).ToHashSet();
        var (pod, why) = request.Pod is { Length: > 0 } name ? Place(snapshot, name) : (null, null);
        return new(
            Names(snapshot, asked),
            [.. snapshot.Rows.Links.Select(link => link.Name)],
            snapshot.UnderlayDevices,
            snapshot.Rows.Links.Select(link => link.Kind).OfType<LinkKind.Vxlan>().Select(vxlan => vxlan.Port).FirstOrDefault(),
            pod,
            why);
    }

    /// <summary><c>NAMESPACE/POD</c>, or null when it is none.</summary>
    public static NamespacedName? Parse(string text) => text.Split('/') is [{ Length: > 0 } space, { Length: > 0 } name] ? new(space, name) : null;

    /// <summary>A pod by its name.</summary>
    /// <exception cref="OperatorException">There is none; perhaps one with a name like it.</exception>
    public static Pod Find(ClusterState state, NamespacedName name)
    {
        if (state.Pods.FirstOrDefault(pod => pod.Name == name) is { } found)
            return found;
        var elsewhere = state.Pods.Where(pod => pod.Name.Name == name.Name).Select(pod => pod.Name.ToString()).Order(StringComparer.Ordinal).Take(3).ToList();
        var near = elsewhere.Count > 0 ? null : Spelling.Nearest(name.ToString(), state.Pods.Select(pod => pod.Name.ToString()));
        throw new OperatorException($"There is no pod {name}{(elsewhere.Count > 0 ? $"; there is {string.Join(" and ", elsewhere)}" : near is not null ? $"; the nearest name is {near}" : "")}.");
    }

    // An address that two pods have is that of the one wired here, as for policy; a pod's before a node's.
    private static List<NamedAddress> Names(NodeSnapshot snapshot, HashSet<InetAddress> asked)
    {
        var names = new Dictionary<InetAddress, NamedAddress>();
        if (asked.Count == 0)
            return [];
        foreach (var (pod, address) in from pod in snapshot.State.Pods
                                       where !pod.HostNetwork
                                       from address in pod.Addresses
                                       where asked.Contains(address)
                                       orderby snapshot.State.LocalPods.Contains(pod.Name) descending, pod.Name
                                       select (pod, address))
            names.TryAdd(address, new(address.ToString(), pod.Name.ToString(), NodeOf(snapshot, pod)));
        foreach (var (node, address) in from node in snapshot.State.Nodes
                                        from address in node.Addresses.Concat(node.TunnelAddresses)
                                        where asked.Contains(address)
                                        select (node, address))
            names.TryAdd(address, new(address.ToString(), null, node.Name));
        return [.. names.Values];
    }

    private static string? NodeOf(NodeSnapshot snapshot, Pod pod) =>
        snapshot.State.LocalPods.Contains(pod.Name) ? snapshot.Node : pod.NodeName.Length > 0 ? pod.NodeName : null;

    private static (FoundPod? Pod, string? Why) Place(NodeSnapshot snapshot, string text)
    {
        if (Parse(text) is not { } name)
            return (null, $"{text} is not NAMESPACE/POD.");
        Pod pod;
        try
        {
            pod = Find(snapshot.State, name);
        }
        catch (OperatorException exception)
        {
            return (null, exception.Message);
        }

        if (pod.HostNetwork)
            return (null, $"Pod {name} is of the host network, so its packets are its node's: use --underlay there.");
        if (pod.Addresses.Count == 0)
            return (null, $"Pod {name} has no address yet.");
        var interfaces = snapshot.Attachments.Where(attachment => attachment.Pod == name).Select(attachment => attachment.HostInterface).ToList();
        var devices = interfaces.Count > 0 ? [] : pod.Addresses.Select(address => DeviceTo(snapshot, address)).OfType<string>().Distinct().ToList();
        return (new(name.ToString(), NodeOf(snapshot, pod), [.. pod.Addresses.Select(address => address.ToString())], interfaces, devices), null);
    }

    /// <summary>By which device packets for an address leave this node, of ours or of the underlay; null: by none that is known.</summary>
    private static string? DeviceTo(NodeSnapshot snapshot, InetAddress address) => snapshot.Rows.Routes
        .Where(route => route.Device is { Length: > 0 } && route.Destination.Contains(address))
        .OrderByDescending(route => route.Destination.PrefixLength).ThenBy(route => route.Metric)
        .Select(route => route.Device).FirstOrDefault();
}
