using System.Net;
using System.Net.Sockets;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;

namespace Overlay.Tests.Kernel;

/// <summary>Host ports: a pod behind ports of its node, asked by everybody there is, over TCP and UDP and both families.</summary>
public class HostPortTests
{
    private const int Port = 8081, TargetPort = 8080, DatagramPort = 8053, DatagramTargetPort = 5353, SctpPort = 8099, SctpTargetPort = 9999;
    private static readonly TimeSpan Never = TimeSpan.FromMilliseconds(600), Soon = TimeSpan.FromSeconds(10);
    private static readonly AddressFamily[] Families = [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];

    private static readonly PortMapping[] Mappings =
    [
        new() { HostPort = Port, ContainerPort = TargetPort },
        new() { HostPort = DatagramPort, ContainerPort = DatagramTargetPort, Protocol = "udp" },
        new() { HostPort = SctpPort, ContainerPort = SctpTargetPort, Protocol = "sctp" },
    ];

    private readonly List<IDisposable> _servers = [];
    private TestCluster _cluster = null!;
    private TestPod _web = null!;
    private TestPod _neighbour = null!;
    private TestPod _far = null!;

    private TestNode Node => _cluster.Nodes[0];

    private Netns Outsider => _cluster.Switch.Netns;

    [OneTimeSetUp]
    public void Build()
    {
        _cluster = TestCluster.Create(0);
        for (var i = 1; i <= 2; i++)
            _cluster.AddNode($"node-{i}", [$"192.168.7.{i}", $"fd07::{i}"], [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
        foreach (var family in Families)
            _cluster.AddOutside(Outside(family));
        foreach (var name in (string[])["web", "neighbour", "far"])
            _cluster.Apply($"{name}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{name}}, namespace: shop, labels: { app: {{name}} } } }""");
        (_web, _neighbour, _far) = (Node.AddPod("shop/web", Mappings), Node.AddPod("shop/neighbour"), _cluster.Nodes[1].AddPod("shop/far"));
        Serve(_web);
    }

    [OneTimeTearDown]
    public void End()
    {
        foreach (var server in _servers)
            server.Dispose();
        _cluster?.Dispose();
    }

    [TearDown]
    public void Forget() => _cluster.Delete("policy.yaml");

    [TestCaseSource(nameof(Families))]
    public void A_host_port_leads_everybody_to_the_pod_which_sees_who_asks(AddressFamily family)
    {
        Enforce(null);
        foreach (var (who, from, address, seen) in Clients(family))
        {
            Assert.That(Ask(from, address), Is.EqualTo(new Introduction("shop/web", seen ?? Ask(from, address)!.Client)), $"TCP from {who}");
            Assert.That(AskDatagram(from, address, Soon), Is.EqualTo(new Introduction("shop/web", seen ?? AskDatagram(from, address, Soon)!.Client)), $"UDP from {who}");
        }
    }

    [Test]
    public void On_the_node_a_host_port_is_at_every_loopback_address_of_IPv4()
    {
        Enforce("podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress]");
        foreach (var address in (string[])["127.0.0.1", "127.1.2.3"])
        {
            Assert.That(Ask(Node.Net.Netns, IPAddress.Parse(address))?.Server, Is.EqualTo("shop/web"), $"TCP to {address}");
            Assert.That(AskDatagram(Node.Net.Netns, IPAddress.Parse(address), Soon)?.Server, Is.EqualTo("shop/web"), $"UDP to {address}");
        }

        Assert.That(Ask(Node.Net.Netns, IPAddress.IPv6Loopback), Is.Null, "nothing that comes from ::1 leaves the node");
    }

    [TestCaseSource(nameof(Families))]
    public void An_SCTP_port_is_translated_there_and_back(AddressFamily family)
    {
        Enforce(null);
        using var servers = new ProbeServers();
        servers.Serve(new(Outside(family), _web.Address(family), "SCTP", SctpTargetPort), _web.Net.Netns);
        using var probe = Probe.Open(new(Outside(family), NodeAddress(family), "SCTP", SctpPort), Outsider);
        probe.Send();
        Assert.That(probe.IsAnsweredWithin(Soon));
    }

    [TestCaseSource(nameof(Families))]
    public void Policy_denies_by_the_clients_own_address_and_the_pods_own_port(AddressFamily family)
    {
        Enforce($"podSelector: {{ matchLabels: {{ app: web }} }}, ingress: [{{ ports: [{{ port: {Port} }}, {{ port: {DatagramPort}, protocol: UDP }}] }}]");
        AssertReached(family, "the pod itself", "its node");
        Enforce("podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ ipBlock: { cidr: 203.0.113.9/32 } }, { ipBlock: { cidr: \"2001:db8::9/128\" } }] }]");
        AssertReached(family, "outside", "the pod itself", "its node");
        Enforce("podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ podSelector: {} }] }]");
        AssertReached(family, "a pod of its node", "a pod of another node by the tunnel", "the pod itself", "its node");
        Enforce($"podSelector: {{ matchLabels: {{ app: web }} }}, ingress: [{{ ports: [{{ port: {TargetPort} }}, {{ port: {DatagramTargetPort}, protocol: UDP }}] }}]");
        AssertReached(family, [.. Clients(family).Select(client => client.Who)]);
    }

    [TestCaseSource(nameof(Families))]
    public void A_policy_that_comes_later_cuts_a_conversation_through_a_host_port(AddressFamily family)
    {
        Enforce(null);
        using var sender = SteadySender.Open(Outsider, NodeAddress(family), DatagramPort);
        Assert.That(sender.Ask(Soon)?.Server, Is.EqualTo("shop/web"));
        Enforce("podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress]");
        TestCluster.Eventually(() => sender.Ask(Never) is null, "nobody answers");
        Enforce(null);
        Assert.That(sender.Ask(Soon)?.Server, Is.EqualTo("shop/web"));
    }

    [Test]
    public void The_agent_finds_the_kernel_and_the_policies_in_agreement()
    {
        Enforce("podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress, Egress], ingress: [{ ports: [{ port: 8080 }] }]");
        var verified = Node.Overlay("verify", "--policies");
        Assert.That(verified.ExitCode, Is.Zero, verified.Output + verified.Error);
        Assert.That(Node.Overlay("status", "-o", "json").Output, Does.Contain($"tcp/{Port} to {_web.IPv4}:{TargetPort}").And.Contain($"udp/{DatagramPort} to [{_web.IPv6}]:{DatagramTargetPort}"));
    }

    [Test]
    public void A_restarted_agent_keeps_the_host_ports()
    {
        Enforce(null);
        var before = Node.Net.Run("nft -s list table inet overlay");
        Assert.That(before, Does.Contain("hostport"));
        Node.StopAgent(kill: true);
        foreach (var family in Families)
            Assert.That(Ask(Outsider, NodeAddress(family))?.Server, Is.EqualTo("shop/web"), "while the agent is away");
        Node.StartAgent();
        Assert.That(Node.Net.Run("nft -s list table inet overlay"), Is.EqualTo(before));
        Assert.That(Node.Log, Does.Not.Contain("repaired"));
        foreach (var family in Families)
            Assert.That(Ask(Outsider, NodeAddress(family))?.Server, Is.EqualTo("shop/web"));
    }

    [Test]
    public void The_second_pod_that_wants_a_host_port_is_refused_and_leaves_nothing()
    {
        var late = Node.MakePod("shop/late");
        var before = Node.State;
        var answer = late.TryAdd([], Mappings[1]);
        Assert.That(answer.ExitCode, Is.EqualTo(1));
        Assert.That(answer.Output, Does.Contain($"host port udp/{DatagramPort} is taken by pod shop/web (container {_web.ContainerId})"));
        Assert.That(Node.State, Is.EqualTo(before));
    }

    [Test]
    public void The_tunnels_own_port_is_not_to_be_had()
    {
        var answer = Node.MakePod("shop/greedy").TryAdd([], new PortMapping { HostPort = 4789, ContainerPort = 4789, Protocol = "UDP" });
        Assert.That(answer.ExitCode, Is.EqualTo(1));
        Assert.That(answer.Output, Does.Contain("host port udp/4789 is that of the tunnels between nodes"));
    }

    [TestCaseSource(nameof(Families))]
    public void A_port_at_one_address_of_the_node_is_at_no_other(AddressFamily family)
    {
        Enforce(null);
        var pod = Node.AddPod("shop/picky", [new PortMapping { HostPort = 8082, ContainerPort = TargetPort, HostIP = NodeAddress(family).ToString() }]);
        using var server = NamedServer.Start(pod.Name, pod.Net.Netns, TargetPort);
        Assert.That(Ask(Outsider, NodeAddress(family), 8082)?.Server, Is.EqualTo("shop/picky"));
        Assert.That(Ask(_far.Net.Netns, TunnelAddress(family), 8082), Is.Null);
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        Assert.That(Ask(Outsider, NodeAddress(family), 8082), Is.Null);
    }

    [TestCaseSource(nameof(Families))]
    public void A_steady_UDP_sender_reaches_each_pod_that_has_the_port_in_its_turn(AddressFamily family)
    {
        const int port = 8054;
        Enforce(null);
        using var sender = SteadySender.Open(Outsider, NodeAddress(family), port);
        Assert.That(sender.Ask(Never), Is.Null, "nobody has the port");
        foreach (var name in (string[])["shop/first", "shop/second"])
        {
            var pod = Node.AddPod(name, [new PortMapping { HostPort = port, ContainerPort = DatagramTargetPort, Protocol = "udp" }]);
            using var server = NamedDatagramServer.Start(name, pod.Net.Netns, DatagramTargetPort);
            Assert.That(sender.Ask(Soon)?.Server, Is.EqualTo(name));
            Assert.That(pod.Remove().ExitCode, Is.Zero);
            Assert.That(sender.Ask(Never), Is.Null, "nobody has the port any more");
        }
    }

    [TestCaseSource(nameof(Families))]
    public void What_led_to_a_pod_that_went_while_no_agent_ran_is_ended_by_the_next(AddressFamily family)
    {
        const int port = 8055;
        Enforce(null);
        var pod = Node.AddPod("shop/brief", [new PortMapping { HostPort = port, ContainerPort = DatagramTargetPort, Protocol = "udp" }]);
        using var server = NamedDatagramServer.Start(pod.Name, pod.Net.Netns, DatagramTargetPort);
        using var sender = SteadySender.Open(Outsider, NodeAddress(family), port);
        Assert.That(sender.Ask(Soon)?.Server, Is.EqualTo("shop/brief"));
        Node.StopAgent(kill: true);
        Node.Net.Run($"ip link delete {pod.HostInterface}");
        Assert.That(Translations(port), Is.GreaterThan(0));
        Node.StartAgent();
        Assert.That(Translations(port), Is.Zero);
        Assert.That(Node.Net.Run("nft list table inet overlay"), Does.Not.Contain($"udp . {port}"));
        Assert.That(pod.Remove().ExitCode, Is.Zero);
    }

    [Test]
    public void A_pod_with_a_host_port_cannot_reach_what_its_node_serves_on_loopback()
    {
        const int port = 9090;
        var node = _cluster.Nodes[1];
        using var server = NamedServer.Start("secret", node.Net.Netns, port);
        var pod = node.AddPod("shop/nosy", [new PortMapping { HostPort = 8083, ContainerPort = 1 }]);
        Assert.That(node.Net.Run($"sysctl -n net.ipv4.conf.{_far.HostInterface}.route_localnet").Trim(), Is.EqualTo("0"), "only the interfaces of pods with host ports are open to this");

        // Whoever has all rights in a pod can have it send to 127.0.0.1 by its gateway, and take the answer.
        pod.Net.Run("ip address delete 127.0.0.1/8 dev lo");
        pod.Net.Run("ip route replace 127.0.0.1 via 169.254.1.1 dev eth0 onlink");
        pod.Net.Run("sysctl -q -w net.ipv4.conf.eth0.route_localnet=1");
        Assert.That(pod.Connects(IPAddress.Loopback, port), Is.False);
        node.Net.Run("nft flush chain inet overlay hostport-input");
        Assert.That(pod.Connects(IPAddress.Loopback, port), Is.True, "nothing but this chain keeps it away");
        Assert.That(pod.Remove().ExitCode, Is.Zero);
    }

    [Test]
    public void The_last_host_port_takes_its_chains_and_maps_with_it()
    {
        var node = _cluster.Nodes[1];
        var before = node.State;
        var pod = node.AddPod("shop/passing", Mappings);
        Assert.That(node.State, Does.Contain("chain hostport").And.Contain("map hostport-v4"));
        Assert.That(pod.Remove().ExitCode, Is.Zero);
        TestCluster.Eventually(() => node.State == before, "the pair is removed with others of its moment", () => node.State);
    }

    // Who asks, from where, which address; the address that the pod sees, null for one of its node.
    private (string Who, Netns From, IPAddress Address, IPAddress? Seen)[] Clients(AddressFamily family) =>
    [
        ("outside", Outsider, NodeAddress(family), Outside(family)),
        ("a pod of its node", _neighbour.Net.Netns, NodeAddress(family), _neighbour.Address(family)),
        ("a pod of another node", _far.Net.Netns, NodeAddress(family), NodeAddress(family, 2)),
        ("a pod of another node by the tunnel", _far.Net.Netns, TunnelAddress(family), _far.Address(family)),
        ("the pod itself", _web.Net.Netns, NodeAddress(family), null),
        ("its node", Node.Net.Netns, NodeAddress(family), NodeAddress(family)),
        ("another node", _cluster.Nodes[1].Net.Netns, NodeAddress(family), NodeAddress(family, 2)),
    ];

    private void AssertReached(AddressFamily family, params string[] clients)
    {
        foreach (var (who, from, address, _) in Clients(family))
        {
            var reached = clients.Contains(who);
            Assert.That(Ask(from, address) is not null, Is.EqualTo(reached), $"TCP from {who}");
            Assert.That(AskDatagram(from, address, reached ? Soon : Never) is not null, Is.EqualTo(reached), $"UDP from {who}");
        }
    }

    private static Introduction? Ask(Netns from, IPAddress address, int port = Port) => NamedServer.Ask(from, address, port, times: 1, expected: 0) is [var answer] ? answer : null;

    private static Introduction? AskDatagram(Netns from, IPAddress address, TimeSpan patience)
    {
        using var sender = SteadySender.Open(from, address, DatagramPort);
        return sender.Ask(patience);
    }

    // Connections that the node translates from one of its ports.
    private int Translations(int port)
    {
        using var socket = Node.Net.Open(NetlinkProtocol.NETLINK_NETFILTER);
        return ConntrackMessage.Dump<ConntrackMessage>(socket, static (message, all) => all.Add(ConntrackMessage.Parse(message)))
            .Count(connection => connection.Original.DestinationPort == port && connection.Status.HasFlag(IpConntrackStatus.IPS_DST_NAT));
    }

    private void Serve(TestPod pod)
    {
        _servers.Add(NamedServer.Start(pod.Name, pod.Net.Netns, TargetPort));
        _servers.Add(NamedDatagramServer.Start(pod.Name, pod.Net.Netns, DatagramTargetPort));
    }

    private void Enforce(string? spec)
    {
        if (spec is null)
            _cluster.Delete("policy.yaml");
        else
            _cluster.Apply("policy.yaml", $$"""{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: policy, namespace: shop }, spec: { {{spec}} } }""");
        _cluster.AwaitPolicies();
    }

    private static IPAddress Outside(AddressFamily family) => IPAddress.Parse(family == AddressFamily.InterNetwork ? "203.0.113.9" : "2001:db8::9");

    private static IPAddress NodeAddress(AddressFamily family, int number = 1) => IPAddress.Parse(family == AddressFamily.InterNetwork ? $"192.168.7.{number}" : $"fd07::{number}");

    private static IPAddress TunnelAddress(AddressFamily family) => IPAddress.Parse(family == AddressFamily.InterNetwork ? "10.42.1.0" : "fd00:42:1::");
}
