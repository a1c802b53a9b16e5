using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Manifests;

/// <content>Node, Namespace and Pod: what we need of them; their other fields are nobody's business here.</content>
public static partial class FromManifest
{
    /// <summary>Annotation of a Node: its addresses for traffic between nodes, one of each family at most, separated by commas, where they are not the first of its InternalIPs. Its agent writes it.</summary>
    public const string AddressesAnnotation = "overlay.internal/node-addresses";

    private static ClusterChange ReadPlainObject(string kind, Fields root, NamespacedName name) => kind switch
    {
        "Node" => new ClusterChange.NodeSet(ReadNode(root, name.Name)),
        "Namespace" => new ClusterChange.NamespaceSet(ReadNamespace(root, name.Name)),
        _ => new ClusterChange.PodSet(ReadPod(root, name)),
    };

    // What of an object that is wrong stays in force; null when nothing does.
    private static ClusterChange? StandIn(ClusterChange change, List<FieldProblem> problems) => change switch
    {
        ClusterChange.PodSet { Pod: var pod } when KubernetesName.IsSubdomain(pod.Name.Name) && KubernetesName.IsLabel(pod.Name.Namespace) => new ClusterChange.PodSet(pod with { IsRejected = true }),
        ClusterChange.NodeSet when problems.TrueForAll(problem => problem.Field.StartsWith("metadata.", StringComparison.Ordinal) && problem.Field != "metadata.name") => change,
        _ => null,
    };

    private static Node ReadNode(Fields root, string name)
    {
        var spec = root.Object("spec");
        var prefixes = spec.Texts("podCIDRs").ToList();
        if (prefixes.Count == 0 && spec.Text("podCIDR") is { Length: > 0 } single)
            prefixes.Add((single, spec.Line, "spec.podCIDR"));
        var podCidrs = new List<Cidr>();
        foreach (var (text, line, path) in prefixes)
        {
            if (Cidr.TryParse(text, out var prefix))
                podCidrs.Add(prefix.Network);
            else
                spec.Reject(line, path, $"\"{text}\" is no prefix such as 10.42.0.0/24 or fd00:42::/64.");
        }

        List<InetAddress> internalIPs = [], others = [];
        foreach (var entry in root.Object("status").Objects("addresses"))
        {
            if (entry.Text("type") == "InternalIP")
                ReadAddress(entry, "address", internalIPs);
            else if (InetAddress.TryParse(entry.Text("address") ?? "", out var other))
                others.Add(other); // Hostname and the like are no addresses
        }

        List<InetAddress> chosen = [];
        var annotations = root.Object("metadata").Object("annotations");
        foreach (var text in (annotations.Text(AddressesAnnotation) ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (InetAddress.TryParse(text, out var address))
                chosen.Add(address);
            else
                annotations.Reject(AddressesAnnotation, $"\"{text}\" is no IP address.");
        }

        var condition = root.Object("status").Objects("conditions").FirstOrDefault(condition => condition.Text("type") == "NetworkUnavailable");
        return new(name, podCidrs.ToEquatableArray(), internalIPs.ToEquatableArray())
        {
            NetworkUnavailable = condition?.Text("status") switch { "True" => true, "False" => false, _ => null },
            Labels = ReadLabels(root.Object("metadata"), "labels"),
            OtherAddresses = others.ToEquatableArray(),
            ChosenAddresses = chosen.ToEquatableArray(),
        };
    }

    private static Namespace ReadNamespace(Fields root, string name)
    {
        if (name.Length > 0 && !KubernetesName.IsLabel(name))
            root.Object("metadata").Reject("name", $"\"{name}\" is no namespace: up to 63 of a-z, 0-9 and -, a letter or digit at both ends.");
        return new Namespace(name, ReadLabels(root.Object("metadata"), "labels")).WithNameLabel();
    }

    private static Pod ReadPod(Fields root, NamespacedName name)
    {
        var spec = root.Object("spec");
        var status = root.Object("status");
        var addresses = new List<InetAddress>();
        foreach (var entry in status.Objects("podIPs"))
            ReadAddress(entry, "ip", addresses);
        if (addresses.Count == 0 && status.Has("podIP"))
            ReadAddress(status, "podIP", addresses);

        // A pod that has ended keeps its object, but its addresses may be another's by now.
        if (status.Text("phase") is "Succeeded" or "Failed")
            addresses.Clear();

        // A sidecar is an init container that is restarted always; other init containers have ended before the pod serves.
        var ports = new List<NamedPort>();
        var sidecars = spec.Objects("initContainers").Where(container => container.Text("restartPolicy") == "Always");
        foreach (var container in spec.Objects("containers").Concat(sidecars))
        {
            foreach (var port in container.Objects("ports"))
                ReadNamedPort(port, ports);
        }

        var labels = ReadLabels(root.Object("metadata"), "labels");
        return new(name, labels, addresses.Distinct().ToEquatableArray(), ports.Distinct().ToEquatableArray(), spec.Boolean("hostNetwork") ?? false, spec.Text("nodeName") ?? "");
    }

    private static void ReadNamedPort(Fields port, List<NamedPort> ports)
    {
        var name = port.Text("name") ?? "";
        var protocol = ReadProtocol(port);
        var number = port.Integer("containerPort");
        if (number is < 1 or > 65535)
            port.Reject("containerPort", $"{number} is no port; 1 to 65535.");
        else if (name.Length > 0 && number is null)
            port.Reject("containerPort", "it is missing.");
        else if (name.Length > 0 && !KubernetesName.IsPort(name))
            port.Reject("name", $"\"{name}\" is no port name: up to 15 of a-z, 0-9 and -, at least one letter.");
        else if (name.Length > 0 && protocol is { } known)
            ports.Add(new(name, known, (ushort)number!));
    }

    private static IpProtocol? ReadProtocol(Fields port)
    {
        switch (port.Text("protocol"))
        {
            case null or "TCP":
                return IpProtocol.Tcp;
            case "UDP":
                return IpProtocol.Udp;
            case "SCTP":
                return IpProtocol.Sctp;
            case var other:
                port.Reject("protocol", $"there is no protocol {other}; TCP, UDP or SCTP.");
                return null;
        }
    }

    private static void ReadAddress(Fields fields, string name, List<InetAddress> addresses)
    {
        if (fields.Text(name) is not { } text)
            return;
        if (InetAddress.TryParse(text, out var address))
            addresses.Add(address);
        else
            fields.Reject(name, $"\"{text}\" is no IPv4 or IPv6 address.");
    }

    private static Labels ReadLabels(Fields owner, string name)
    {
        var fields = owner.Object(name);
        var labels = new List<Label>();
        foreach (var key in fields.Names)
        {
            var before = fields.Problems;
            var value = fields.Text(key) ?? "";
            if (!KubernetesName.IsQualified(key))
                fields.Reject(key, $"\"{key}\" is no label key.");
            if (!KubernetesName.IsLabelValue(value))
                fields.Reject(key, $"\"{value}\" is no label value: up to 63 letters, digits, -, _ and ., a letter or digit at both ends.");
            if (fields.Problems == before)
                labels.Add(new(key, value));
        }

        return Labels.Of(labels);
    }
}
