using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Established connections and policies that change, with real agents and packets: what a policy forbids now is cut in both directions at that node, what it still allows
/// loses not a packet, and what it allows again goes on.
/// </summary>
public partial class RevocationTests
{
    private const string StillAllowed = "ports: [{ port: 7000, endPort: 7999 }, { port: 7000, endPort: 7999, protocol: UDP }]";

    private static readonly IPAddress[] Services = [IPAddress.Parse("10.96.0.10"), IPAddress.Parse("fd00:96::10")];

    // What changes, where it is enforced (the client's node, or each server's), and the manifests before and after.
    private static readonly Dictionary<string, (bool AtClient, string File, string Before, string After)> Changes = new()
    {
        ["egress of the client"] = (true, "policy.yaml", Policy("client", ""), Policy("client", $"egress: [{{ {StillAllowed} }}], policyTypes: [Egress]")),
        ["an Admin policy"] = (true, "admin.yaml", Admin("to: [{ namespaces: {} }], protocols: [{ udp: { destinationPort: { number: 1 } } }]"), Admin("to: [{ namespaces: {} }], protocols: [{ tcp: { destinationPort: { range: { start: 5000, end: 5999 } } } }, { udp: { destinationPort: { range: { start: 5000, end: 5999 } } } }]")),
        ["ingress of the servers"] = (false, "policy.yaml", Policy("server", "ingress: [{}]"), Policy("server", $"ingress: [{{ {StillAllowed} }}]")),
        ["labels of the client"] = (false, "client.yaml", Pod("client", "role: client, allowed: yes"), Pod("client", "role: client")),
        ["labels of the namespace"] = (false, "shop.yaml", Namespace("allowed: yes"), Namespace("allowed: no")),
    };

    private readonly List<Conversation> _conversations = [];
    private TestCluster _cluster = null!;

    [SetUp]
    public void BeginCluster()
    {
        _conversations.Clear();
        _cluster = TestCluster.Create(2);
    }

    [TearDown]
    public void EndCluster()
    {
        foreach (var conversation in _conversations)
            conversation.Dispose();
        _cluster?.Dispose();
    }

    [TestCase("egress of the client")]
    [TestCase("ingress of the servers")]
    [TestCase("an Admin policy")]
    [TestCase("labels of the client")]
    [TestCase("labels of the namespace")]
    public void What_is_forbidden_is_cut_what_is_allowed_stays_and_what_is_allowed_again_goes_on(string what)
    {
        var change = Changes[what];
        var (client, servers) = Wire();
        ApplyBase(what);
        _cluster.Apply(change.File, change.Before);
        var (cut, kept) = Talk(client, servers);
        FlowMeter[] meters = [.. _cluster.Nodes.Select(node => new FlowMeter(node))];
        foreach (var meter in meters)
            meter.Install(cut.Select(conversation => conversation.Port));
        kept.ForEach(conversation => conversation.Pump());

        var clock = Stopwatch.StartNew();
        _cluster.Apply(change.File, change.After);
        TestNode Judge(Conversation conversation) => change.AtClient ? client.Node : conversation.ServerNode!;
        WaitForMarks(node => cut.Count(conversation => Judge(conversation) == node));
        TestContext.Out.WriteLine($"{what}: {cut.Count} connections cut within {clock.ElapsedMilliseconds} ms of the manifest's being written");

        var sent = cut.ConvertAll(conversation => AssertCut(conversation, meters[_cluster.Nodes.IndexOf(Judge(conversation))]));

        clock.Restart();
        _cluster.Apply(change.File, change.Before);
        WaitForMarks(_ => 0);
        TestContext.Out.WriteLine($"{what}: allowed again within {clock.ElapsedMilliseconds} ms");
        foreach (var (conversation, (fromClient, fromServer)) in cut.Zip(sent))
            conversation.GoOn(fromClient, fromServer);

        var rounds = kept.ConvertAll(conversation => conversation.EndPumping());
        TestContext.Out.WriteLine($"meanwhile {rounds.Min()} to {rounds.Max()} rounds on each of {kept.Count} connections that stayed allowed");
        Assert.That(rounds, Is.All.Positive);
        Assert.That(kept.Where(conversation => conversation.Retransmissions > 0).Select(conversation => conversation.Name), Is.Empty);
    }

    [Test]
    public void A_started_agent_cuts_what_was_forbidden_while_it_was_down()
    {
        var (client, servers) = Wire();
        ApplyBase("egress of the client");
        var (cut, kept) = Talk(client, servers);
        client.Node.StopAgent();
        _cluster.Apply("policy.yaml", Changes["egress of the client"].After);
        cut[0].Exchange();
        client.Node.StartAgent();
        WaitForMarks(node => node == client.Node ? cut.Count : 0);
        kept.ForEach(conversation => conversation.Exchange());
    }

    [Test]
    public void Switched_off_nothing_is_cut_and_what_was_cut_goes_on()
    {
        var (client, servers) = Wire();
        ApplyBase("egress of the client");
        var (cut, _) = Talk(client, servers);
        var node = client.Node;
        _cluster.Apply("policy.yaml", Changes["egress of the client"].After);
        WaitForMarks(other => other == node ? cut.Count : 0);
        node.StopAgent();
        node.StartAgent("--policy-revoke-established", "false");
        WaitForMarks(_ => 0);
        Assert.That(node.State, Does.Not.Contain("ct mark"));
        cut.ForEach(conversation => conversation.Exchange());
        Assert.That(client.Connects(servers[1].IPv4, cut[0].Port), Is.False, "the policy is in force for new ones");
    }

    [Test]
    public void What_a_pod_began_with_its_own_node_is_cut_by_a_cluster_policy_and_what_the_node_began_is_not()
    {
        var (client, _) = Wire();
        var node = client.Node;
        var address = IPAddress.Parse(node.Addresses[0]);
        ApplyBase("");
        Conversation[] both = [Conversation.Begin(client.Net, client.IPv4, node.Net, address, 5000), Conversation.Begin(node.Net, address, client.Net, client.IPv4, 5000)];
        _conversations.AddRange(both);

        // NetworkPolicies have no say in that: the pod is isolated, which is seen by another flow of it being cut, and goes on with its node.
        var elsewhere = Conversation.Begin(client.Net, client.IPv4, _cluster.Nodes[1].Net, IPAddress.Parse(_cluster.Nodes[1].Addresses[0]), 5001);
        _conversations.Add(elsewhere);
        _cluster.Apply("policy.yaml", Policy("client", "policyTypes: [Egress]"));
        WaitForMarks(other => other == node ? 1 : 0);
        both[0].Exchange();
        _cluster.Delete("policy.yaml");
        WaitForMarks(_ => 0);

        _cluster.Apply("admin.yaml", Admin($"to: [{{ networks: [{address}/32] }}]"));
        WaitForMarks(other => other == node ? 1 : 0);

        var number = both[0].SendFromClient();
        TestCluster.Eventually(() => Regex.IsMatch(node.Net.Run("nft list chain inet overlay host"), "counter packets [1-9][0-9]* .*revoked"), "the packet is dropped");
        Assert.That(both[0].HasArrived, Is.False);
        both[1].Exchange();

        _cluster.Delete("admin.yaml");
        WaitForMarks(_ => 0);
        both[0].GoOn(number, both[0].SendFromServer());
    }

    // A pod that comes makes nobody look at connections, or its like would cost more than all the rest of wiring it; unless its address has a past.
    [Test]
    public void What_a_pod_leaves_behind_is_judged_when_another_gets_its_address()
    {
        var (client, _) = Wire();
        var node = client.Node;
        ApplyBase("");
        _cluster.Apply("heir.yaml", Pod("heir", "role: heir"));
        _cluster.Apply("policy.yaml", Policy("heir", "policyTypes: [Ingress]"));
        string[] addresses = ["10.42.1.77", "fd00:42:1::77"];
        var first = node.AddPod("shop/first", addresses);
        foreach (var address in addresses)
            _conversations.Add(Conversation.Begin(ProtocolType.Udp, client, first, 5100 + _conversations.Count, IPAddress.Parse(address)));
        Assert.That(first.Remove().ExitCode, Is.Zero);
        Assert.That(Marked(node), Is.Zero);
        node.AddPod("shop/heir", addresses);
        WaitForMarks(other => other == node ? 2 : 0);
    }

    // Every connection a flow of its own, which is the worst there is. The times are for people.
    [Test]
    public void A_hundred_thousand_connections_do_not_keep_a_runtime_waiting()
    {
        const int count = 100_000;
        var (client, _) = Wire();
        var node = client.Node;
        ApplyBase("");
        _cluster.Apply("policy.yaml", Policy("client", "ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8 } }, { namespaceSelector: {} }], ports: [{ port: 80 }] }]"));
        using (var socket = node.Net.Open(NetlinkProtocol.NETLINK_NETFILTER))
        {
            var (first, pod) = (InetAddress.Parse("10.200.0.0"), InetAddress.Parse(client.IPv4.ToString()));
            Connections.Create(socket, Enumerable.Range(0, count).Select(i => new ConntrackTuple(first with { Value = first.Value + (uint)i }, pod, 6, 40000, 80)));
        }

        _cluster.Apply("policy.yaml", Policy("client", "ingress: [{ from: [{ ipBlock: { cidr: 10.200.0.0/16 } }, { namespaceSelector: {} }], ports: [{ port: 80 }] }]"));
        var (clock, asked, slowest) = (Stopwatch.StartNew(), 0, TimeSpan.Zero);
        for (; CutOf(node) < count - 65536; asked++)
        {
            var start = clock.Elapsed;
            Assert.That(node.Ask("STATUS"), Is.Not.Null);
            slowest = slowest > clock.Elapsed - start ? slowest : clock.Elapsed - start;
            Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(60)), node.Log);
        }

        TestContext.Out.WriteLine($"{asked} questions in {clock.ElapsedMilliseconds} ms, the slowest answered in {slowest.TotalMilliseconds:0.0} ms; {File.ReadLines($"/proc/{node.AgentId}/status").Single(line => line.StartsWith("VmRSS", StringComparison.Ordinal))}");
        TestContext.Out.WriteLine(node.Log.Split('\n').Last(line => line.Contains("connections cut", StringComparison.Ordinal)));
        Assert.That(CutOf(node), Is.EqualTo(count - 65536));
        Assert.That(Marked(node), Is.EqualTo(count - 65536));
    }

    private static string Admin(string rule) => $$"""
        apiVersion: policy.networking.k8s.io/v1alpha2
        kind: ClusterNetworkPolicy
        metadata: { name: admin }
        spec: { tier: Admin, priority: 1, subject: { pods: { namespaceSelector: {}, podSelector: { matchLabels: { role: client } } } }, egress: [{ action: Deny, {{rule}} }] }
        """;

    private static string Policy(string role, string rules) => $$"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: { name: {{role}}, namespace: shop }
        spec: { podSelector: { matchLabels: { role: {{(rules.Length > 0 ? role : "nobody")}} } }{{(rules.Length > 0 ? ", " + rules : "")}} }
        """;

    private static string Pod(string name, string labels) => $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{name}}, namespace: shop, labels: { {{Quoted(labels)}} } } }""";

    private static string Namespace(string labels) => $$"""{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { {{Quoted(labels)}} } } }""";

    private static string Quoted(string labels) => labels.Replace("yes", "\"yes\"", StringComparison.Ordinal).Replace("no", "\"no\"", StringComparison.Ordinal);

    private void ApplyBase(string what)
    {
        _cluster.Apply("shop.yaml", Namespace("allowed: yes"));
        _cluster.Apply("client.yaml", Pod("client", "role: client, allowed: yes"));
        _cluster.Apply("near.yaml", Pod("near", "role: server"));
        _cluster.Apply("far.yaml", Pod("far", "role: server"));
        if (what.StartsWith("labels", StringComparison.Ordinal))
        {
            var selector = what == "labels of the client" ? "podSelector" : "namespaceSelector";
            _cluster.Apply("policy.yaml", Policy("server", $"ingress: [{{ {StillAllowed} }}, {{ from: [{{ {selector}: {{ matchLabels: {{ allowed: \"yes\" }} }} }}] }}]"));
        }
    }

    // One client on node-1, a server beside it and one on node-2, and on node-1 Services for the far one.
    private (TestPod Client, TestPod[] Servers) Wire()
    {
        var client = _cluster.Nodes[0].AddPod("shop/client");
        TestPod[] servers = [_cluster.Nodes[0].AddPod("shop/near"), _cluster.Nodes[1].AddPod("shop/far")];
        _cluster.Nodes[0].Net.Run("nft -f -", $$"""
            table inet services {
            chain prerouting { type nat hook prerouting priority dstnat;
            ip daddr {{Services[0]}} dnat ip to {{servers[1].IPv4}}
            ip6 daddr {{Services[1]}} dnat ip6 to {{servers[1].IPv6}}
            }
            }
            """);
        return (client, servers);
    }

    // Over both protocols and families, to both servers and to the far one's Service.
    private (List<Conversation> Cut, List<Conversation> Kept) Talk(TestPod client, TestPod[] servers) => (Talk(client, servers, 5000), Talk(client, servers, 7000));

    private List<Conversation> Talk(TestPod client, TestPod[] servers, int port)
    {
        var begun = new List<Conversation>();
        foreach (var family in (AddressFamily[])[AddressFamily.InterNetwork, AddressFamily.InterNetworkV6])
            foreach (var protocol in (ProtocolType[])[ProtocolType.Tcp, ProtocolType.Udp])
            {
                begun.Add(Conversation.Begin(protocol, client, servers[0], port++, servers[0].Address(family)));
                begun.Add(Conversation.Begin(protocol, client, servers[1], port++, servers[1].Address(family)));
                begun.Add(Conversation.Begin(protocol, client, servers[1], port++, Services.Single(service => service.AddressFamily == family)));
            }

        _conversations.AddRange(begun);
        return begun;
    }

    // Both directions reach the node that judges, and nothing passes it.
    private static (int FromClient, int FromServer) AssertCut(Conversation conversation, FlowMeter meter)
    {
        var start = meter.Read();
        var sent = (conversation.SendFromClient(), conversation.SendFromServer());
        foreach (var toServer in (bool[])[true, false])
        {
            var key = (conversation.Port, toServer);
            TestCluster.Eventually(() => meter.Read()[key].Before > start[key].Before, $"a packet of {conversation.Name} comes to where it is judged");
            Assert.That(meter.Read()[key].Behind, Is.EqualTo(start[key].Behind), $"{conversation.Name}, {(toServer ? "to" : "from")} the server");
        }

        Assert.That(conversation.HasArrived, Is.False, conversation.Name);
        return sent;
    }

    // Until as many connections of each node carry the mark as should.
    private void WaitForMarks(Func<TestNode, int> expected)
    {
        foreach (var node in _cluster.Nodes)
            TestCluster.Eventually(() => Marked(node) == expected(node), $"{expected(node)} connections of {node.Name} are marked", () => $"{node.Net.Run("conntrack -L")}{node.Net.Run("conntrack -L -f ipv6")}{node.Log}");
    }

    // In one look or in several.
    private static int CutOf(TestNode node) => CutLine().Matches(node.Log).Sum(line => int.Parse(line.Groups[1].Value, CultureInfo.InvariantCulture));

    [GeneratedRegex("([0-9]+) connections cut")]
    private static partial Regex CutLine();

    private static int Marked(TestNode node) => ((string[])["ipv4", "ipv6"])
        .Sum(family => node.Net.Run($"conntrack -L -f {family} -m 0x20000000/0x20000000").Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
}
