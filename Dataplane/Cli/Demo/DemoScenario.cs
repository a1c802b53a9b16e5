using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>A node of the demo: a network namespace with an agent in it, on the underlay 192.0.2.0/24 and 2001:db8::/64.</summary>
/// <param name="Number">1 to 9; part of its name and of all its addresses.</param>
internal sealed record DemoNode(int Number)
{
    /// <summary><c>node-1</c>.</summary>
    public string Name => $"node-{Number}";

    /// <summary>Addresses on the underlay with the length of its prefix, IPv4 first.</summary>
    public EquatableArray<Cidr> Underlay => [Cidr.Parse($"192.0.2.{Number}/24"), Cidr.Parse($"2001:db8::{Number}/64")];

    /// <summary>spec.podCIDRs, IPv4 first.</summary>
    public EquatableArray<Cidr> PodCidrs => [Cidr.Parse($"10.42.{Number}.0/24"), Cidr.Parse($"fd00:42:{Number}::/64")];
}

/// <summary>A pod of the demo. It listens on every <see cref="DemoPort"/>, over both families.</summary>
/// <param name="Namespace">Its namespace.</param>
/// <param name="Name">Its name; also the value of its label <c>app</c>.</param>
/// <param name="Node">Where it runs.</param>
internal sealed record DemoPod(string Namespace, string Name, DemoNode Node)
{
    /// <summary><c>namespace/name</c>.</summary>
    public override string ToString() => $"{Namespace}/{Name}";
}

/// <summary>A port that every pod listens on.</summary>
/// <param name="Letter">How a matrix shows it.</param>
/// <param name="Name">Its name in the pods' manifests.</param>
/// <param name="Protocol">TCP or UDP.</param>
/// <param name="Number">The port.</param>
internal sealed record DemoPort(char Letter, string Name, IpProtocol Protocol, ushort Number)
{
    /// <summary><c>tcp/80</c>.</summary>
    public override string ToString() => $"{(Protocol == IpProtocol.Tcp ? "tcp" : "udp")}/{Number}";
}

/// <summary>A policy of the demo.</summary>
/// <param name="Name">namespace/name.</param>
/// <param name="Asks">In one line what it asks for.</param>
/// <param name="Spec">Its <c>spec</c> in YAML, indented by two.</param>
internal sealed record DemoPolicy(NamespacedName Name, string Asks, string Spec);

/// <summary>The cluster that the demo builds, its policies, and what they ask for.</summary>
internal static class DemoScenario
{
    /// <summary>The ports, in the order of a cell's letters.</summary>
    public static IReadOnlyList<DemoPort> Ports { get; } =
    [
        new('h', "http", IpProtocol.Tcp, 80),
        new('m', "metrics", IpProtocol.Tcp, 9090),
        new('d', "dns", IpProtocol.Udp, 53),
    ];

    /// <summary>The nodes.</summary>
    public static IReadOnlyList<DemoNode> Nodes { get; } = [new(1), new(2), new(3)];

    /// <summary>The pods, in the order of the matrix: two per node, so that both local and tunnelled traffic occurs.</summary>
    public static IReadOnlyList<DemoPod> Pods { get; } =
    [
        new("shop", "web", Nodes[0]),
        new("ops", "prom", Nodes[0]),
        new("shop", "api", Nodes[1]),
        new("lab", "alice", Nodes[1]),
        new("shop", "db", Nodes[2]),
        new("lab", "bob", Nodes[2]),
    ];

    /// <summary>Name of the machine on the underlay that belongs to no cluster. It has no route to the pods, so it can only answer what was masqueraded.</summary>
    public const string Outside = "outside";

    /// <summary>The outside machine's addresses, IPv4 first.</summary>
    public static EquatableArray<Cidr> OutsideAddresses { get; } = [Cidr.Parse("192.0.2.99/24"), Cidr.Parse("2001:db8::99/64")];

    /// <summary>The policies.</summary>
    public static IReadOnlyList<DemoPolicy> Policies { get; } =
    [
        new(new("shop", "default-deny"), "nobody reaches shop, except as follows", """
              podSelector: {}
              policyTypes: [Ingress]
            """),
        new(new("shop", "web-for-all"), "anybody may ask web tcp/80 and udp/53", """
              podSelector: {matchLabels: {app: web}}
              ingress:
              - ports: [{port: 80}, {protocol: UDP, port: 53}]
            """),
        new(new("shop", "api-from-web"), "web may ask the port api names http", """
              podSelector: {matchLabels: {app: api}}
              ingress:
              - from: [{podSelector: {matchLabels: {app: web}}}]
                ports: [{port: http}]
            """),
        new(new("shop", "db-from-api"), "api may ask db tcp/80-443", """
              podSelector: {matchExpressions: [{key: app, operator: In, values: [db]}]}
              ingress:
              - from: [{podSelector: {matchLabels: {app: api}}}]
                ports: [{port: 80, endPort: 443}]
            """),
        new(new("shop", "metrics-for-ops"), "namespaces of team ops: port metrics", """
              podSelector: {}
              ingress:
              - from: [{namespaceSelector: {matchLabels: {team: ops}}}]
                ports: [{port: metrics}]
            """),
        new(new("shop", "db-is-silent"), "db reaches nobody", """
              podSelector: {matchLabels: {app: db}}
              policyTypes: [Egress]
            """),
        new(new("ops", "not-from-node-2"), "all but node-2's pods reach ops", """
              podSelector: {}
              ingress:
              - from:
                - ipBlock: {cidr: 10.42.0.0/16, except: [10.42.2.0/24]}
                - ipBlock: {cidr: "fd00:42::/32", except: ["fd00:42:2::/64"]}
            """),
        new(new("lab", "alice-tcp-only"), "alice: TCP only, none to node-3's pods", """
              podSelector: {matchLabels: {app: alice}}
              policyTypes: [Egress]
              egress:
              - to:
                - ipBlock: {cidr: 0.0.0.0/0, except: [10.42.3.0/24]}
                - ipBlock: {cidr: "::/0", except: ["fd00:42:3::/64"]}
                ports: [{protocol: TCP}]
            """),
    ];

    /// <summary>Without policies every pod reaches everything.</summary>
    public static ReachabilityMatrix AskedBefore { get; } = ReachabilityMatrix.Parse("""
               web  prom  api  alice  db   bob  outside
        web    -    hmd   hmd  hmd    hmd  hmd  hmd
        prom   hmd  -     hmd  hmd    hmd  hmd  hmd
        api    hmd  hmd   -    hmd    hmd  hmd  hmd
        alice  hmd  hmd   hmd  -      hmd  hmd  hmd
        db     hmd  hmd   hmd  hmd    -    hmd  hmd
        bob    hmd  hmd   hmd  hmd    hmd  -    hmd
        """);

    /// <summary>What the policies ask for, worked out by hand from the Kubernetes API, not by our compiler.</summary>
    public static ReachabilityMatrix AskedAfter { get; } = ReachabilityMatrix.Parse("""
               web  prom  api  alice  db   bob  outside
        web    -    hmd   h..  hmd    ...  hmd  hmd
        prom   hmd  -     .m.  hmd    .m.  hmd  hmd
        api    h.d  ...   -    hmd    h..  hmd  hmd
        alice  h..  ...   ...  -      ...  ...  hm.
        db     ...  ...   ...  ...    -    ...  ...
        bob    h.d  hmd   ...  hmd    ...  -    hmd
        """);
}
