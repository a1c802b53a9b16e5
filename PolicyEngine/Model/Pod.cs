namespace Overlay.PolicyEngine.Model;

/// <summary>Key of a namespaced object.</summary>
/// <param name="Namespace">Its namespace.</param>
/// <param name="Name">Its name within the namespace.</param>
public readonly record struct NamespacedName(string Namespace, string Name) : IComparable<NamespacedName>
{
    /// <summary>By namespace, then by name, ordinal.</summary>
    public int CompareTo(NamespacedName other) =>
        string.CompareOrdinal(Namespace, other.Namespace) is var order and not 0 ? order : string.CompareOrdinal(Name, other.Name);

    /// <summary><c>namespace/name</c>; the bare name of what is in no namespace.</summary>
    public override string ToString() => string.IsNullOrEmpty(Namespace) ? Name : $"{Namespace}/{Name}";

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator <(NamespacedName left, NamespacedName right) => left.CompareTo(right) < 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator >(NamespacedName left, NamespacedName right) => left.CompareTo(right) > 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator <=(NamespacedName left, NamespacedName right) => left.CompareTo(right) <= 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator >=(NamespacedName left, NamespacedName right) => left.CompareTo(right) >= 0;
}

/// <summary>Transport protocols that NetworkPolicy can name; the value is the IP protocol number (IANA).</summary>
public enum IpProtocol : byte
{
    /// <summary>TCP.</summary>
    Tcp = 6,

    /// <summary>UDP.</summary>
    Udp = 17,

    /// <summary>SCTP.</summary>
    Sctp = 132,
}

/// <summary>A named container port of a pod (core/v1 ContainerPort).</summary>
/// <param name="Name">IANA_SVC_NAME.</param>
/// <param name="Protocol">Its protocol; TCP when the manifest gives none.</param>
/// <param name="Port">1 to 65535.</param>
public readonly record struct NamedPort(string Name, IpProtocol Protocol, ushort Port);

/// <summary>What policy needs to know of a pod.</summary>
/// <param name="Name">Namespace and name.</param>
/// <param name="Labels">Its labels.</param>
/// <param name="Addresses">Its addresses, of both families, in no particular order; empty until known.</param>
/// <param name="Ports">Its named ports; unnamed ones are not kept.</param>
/// <param name="HostNetwork">Shares its node's network: selectors never match it (API: NetworkPolicy and hostNetwork), ipBlocks match the node's address.</param>
/// <param name="NodeName">spec.nodeName, empty when unscheduled.</param>
public sealed record Pod(
    NamespacedName Name,
    Labels Labels,
    EquatableArray<InetAddress> Addresses,
    EquatableArray<NamedPort> Ports,
    bool HostNetwork,
    string NodeName)
{
    /// <summary>Something about it is not understood, such as a label, or it is wired and nothing is known of it yet: which policies select it nobody can tell, so nothing passes to it or from it.</summary>
    public bool IsRejected { get; init; }

    /// <summary>Ports of its node that lead to it; of the node it is wired on alone.</summary>
    public EquatableArray<HostPort> HostPorts { get; init; } = [];
}

/// <summary>What policy needs to know of a namespace.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Labels">Its labels; the API server adds <c>kubernetes.io/metadata.name</c>, and so does <see cref="WithNameLabel"/>.</param>
public sealed record Namespace(string Name, Labels Labels)
{
    /// <summary>The label by which the API server lets selectors name a namespace.</summary>
    public const string NameLabel = "kubernetes.io/metadata.name";

    /// <summary>The namespace with <see cref="NameLabel"/> set to its name, as the API server guarantees.</summary>
    public Namespace WithNameLabel() => this with { Labels = Labels.With(NameLabel, Name) };
}
