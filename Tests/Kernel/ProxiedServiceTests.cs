using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Overlay.Dataplane.Netlink;
using Overlay.Tests.Guest;

namespace Overlay.Tests.Kernel;

/// <summary>
/// Services through kube-proxy's rules, in all of its modes: a Service with a backend on each of two nodes, a client on a third and one outside the cluster.
/// Policy sees packets after the Service address has become a pod's.
/// </summary>
/// <param name="mode">kube-proxy's.</param>
public abstract partial class ProxiedServiceTests(string mode)
{
    private const int Port = 80;
    private const int TargetPort = 8080;
    private const int ClusterNodePort = 30080;
    private const int LocalNodePort = 30081;
    private const int FarPort = 9000;
    private const int NearPort = 9001;
    private const int Times = 24;
    private static readonly AddressFamily[] Families = [AddressFamily.InterNetwork, AddressFamily.InterNetworkV6];

    private readonly List<IDisposable> _servers = [];
    private TestCluster _cluster = null!;
    private TestPod _one = null!;
    private TestPod _two = null!;
    private TestPod _client = null!;
    private TestPod _near = null!;

    [OneTimeSetUp]
    public void Build()
    {
        if (Guest.Guest.Keeps(this))
            return;
        _cluster = TestCluster.Create(0);
        for (var i = 1; i <= 3; i++)
        {
            string[] addresses = [$"192.168.7.{i}", $"fd07::{i}"];
            _cluster.ApplyNode($"node-{i}", addresses, [$"10.42.{i}.0/24", $"fd00:42:{i}::/64"]);
            _cluster.Join($"node-{i}", addresses);
        }

        Parallel.ForEach(_cluster.Nodes, node => node.StartAgent());
        foreach (var family in Families)
            _cluster.AddOutside(Outside(family));
        foreach (var (name, app) in ((string, string)[])[("web-1", "web"), ("web-2", "web"), ("client", "client"), ("near", "near")])
            _cluster.Apply($"{name}.yaml", $$"""{ apiVersion: v1, kind: Pod, metadata: { name: {{name}}, namespace: shop, labels: { app: {{app}}, name: {{name}} } } }""");
        (_one, _two, _client) = (_cluster.Nodes[0].AddPod("shop/web-1"), _cluster.Nodes[1].AddPod("shop/web-2"), _cluster.Nodes[2].AddPod("shop/client"));
        _near = _cluster.Nodes[2].AddPod("shop/near");
        foreach (var pod in (TestPod[])[_one, _two])
            _servers.Add(NamedServer.Start(pod.Name, pod.Net.Netns, TargetPort));
        foreach (var node in _cluster.Nodes)
            Program(node);
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
    public void Without_policies_every_address_of_the_Service_leads_to_both_backends(AddressFamily family)
    {
        Enforce(null);
        foreach (var (from, address, port) in ((Netns, IPAddress, int)[])[(_client.Net.Netns, ClusterIP(family), Port), (Outsider, Node(1, family), ClusterNodePort), (Outsider, Node(3, family), ClusterNodePort)])
            Assert.That(All(from, address, port).Select(answer => answer.Server).Distinct(), Is.EquivalentTo(new[] { "shop/web-1", "shop/web-2" }), $"{address}:{port}");
        Assert.That(All(_client.Net.Netns, ClusterIP(family), Port).Select(answer => answer.Client), Is.All.EqualTo(_client.Address(family)), "a pod keeps its address");
    }

    [TestCaseSource(nameof(Families))]
    public void Ingress_is_judged_by_the_port_of_the_pod_and_not_by_that_of_the_Service(AddressFamily family)
    {
        Enforce("podSelector: { matchLabels: { app: web } }, ingress: [{ ports: [{ port: 8080 }] }]");
        All(_client.Net.Netns, ClusterIP(family), Port);
        Enforce("podSelector: { matchLabels: { app: web } }, ingress: [{ ports: [{ port: 80 }] }]");
        None(_client.Net.Netns, ClusterIP(family), Port);
    }

    [TestCaseSource(nameof(Families))]
    public void Egress_is_judged_by_the_pod_reached_and_its_port(AddressFamily family)
    {
        Enforce("podSelector: { matchLabels: { app: client } }, policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 8080 }] }]");
        All(_client.Net.Netns, ClusterIP(family), Port);
        Enforce("podSelector: { matchLabels: { app: client } }, policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 80 }] }]");
        None(_client.Net.Netns, ClusterIP(family), Port);
        Enforce("podSelector: { matchLabels: { app: client } }, policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { name: web-2 } } }] }]");
        Some(_client.Net.Netns, ClusterIP(family), Port, _two);
    }

    [TestCaseSource(nameof(Families))]
    public void An_ipBlock_of_the_Service_address_neither_allows_nor_denies(AddressFamily family)
    {
        Enforce("podSelector: { matchLabels: { app: client } }, policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 10.96.0.0/16 } }, { ipBlock: { cidr: \"fd00:96::/64\" } }] }]");
        None(_client.Net.Netns, ClusterIP(family), Port);
        Enforce("""
            podSelector: { matchLabels: { app: client } }, policyTypes: [Egress],
              egress: [{ to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.96.0.0/16] } }, { ipBlock: { cidr: "::/0", except: ["fd00:96::/64"] } }] }]
            """);
        All(_client.Net.Netns, ClusterIP(family), Port);
    }

    [TestCaseSource(nameof(Families))]
    public void An_isolated_pod_reaches_itself_and_no_other_through_its_own_Service(AddressFamily family)
    {
        Enforce("podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress, Egress]");
        Some(_one.Net.Netns, ClusterIP(family), Port, _one);
        None(_client.Net.Netns, ClusterIP(family), Port);
    }

    [TestCaseSource(nameof(Families))]
    public void A_pod_that_reaches_itself_through_its_own_Service_is_subject_to_cluster_policies(AddressFamily family)
    {
        const string Web = "pods: { podSelector: { matchLabels: { app: web } } }";
        EnforceInCluster($"ingress: [{{ action: Deny, from: [{{ {Web} }}] }}]", Web);
        None(_one.Net.Netns, ClusterIP(family), Port);
        All(_client.Net.Netns, ClusterIP(family), Port);
        EnforceInCluster($"egress: [{{ action: Deny, to: [{{ {Web} }}] }}]", Web);
        None(_one.Net.Netns, ClusterIP(family), Port);
        EnforceInCluster($"egress: [{{ action: Deny, to: [{{ {Web} }}], protocols: [{{ tcp: {{ destinationPort: {{ number: {Port} }} }} }}] }}]", Web);
        All(_one.Net.Netns, ClusterIP(family), Port);
    }

    [TestCaseSource(nameof(Families))]
    public void Networks_of_a_cluster_policy_mean_the_pods_that_the_Service_leads_to_and_not_its_address(AddressFamily family)
    {
        const string Client = "pods: { podSelector: { matchLabels: { app: client } } }";
        EnforceInCluster("egress: [{ action: Deny, to: [{ networks: [10.96.0.0/16, \"fd00:96::/64\"] }] }]", Client);
        All(_client.Net.Netns, ClusterIP(family), Port);
        EnforceInCluster("egress: [{ action: Deny, to: [{ networks: [10.42.0.0/16, \"fd00:42::/32\"] }] }]", Client);
        None(_client.Net.Netns, ClusterIP(family), Port);
        EnforceInCluster("egress: [{ action: Accept, to: [{ pods: { podSelector: { matchLabels: { app: web } } } }] }, { action: Deny, to: [{ networks: [0.0.0.0/0, \"::/0\"] }] }]", Client);
        All(_client.Net.Netns, ClusterIP(family), Port);
    }

    [TestCaseSource(nameof(Families))]
    public void A_node_reaches_its_own_isolated_pods_through_their_Service_and_no_others(AddressFamily family)
    {
        Enforce("podSelector: { matchLabels: { app: web } }");
        Some(_cluster.Nodes[0].Net.Netns, ClusterIP(family), Port, _one);
    }

    [TestCaseSource(nameof(Families))]
    public void A_connection_that_policy_forbids_now_is_cut_and_goes_on_when_it_is_allowed_again(AddressFamily family)
    {
        Enforce(null);
        using var far = Conversation.Begin(ProtocolType.Tcp, _client, _two, FarPort, ClusterIP(family));
        using var near = Conversation.Begin(ProtocolType.Tcp, _client, _near, NearPort, ClusterIP(family));
        foreach (var (cut, policy) in ((Conversation[], string)[])[([far, near], "podSelector: { matchLabels: { app: client } }, policyTypes: [Egress]"), ([near], "podSelector: { matchLabels: { app: near } }")])
        {
            Enforce(policy);
            AwaitMarks(cut.Length);
            var sent = cut.Select(conversation => (Cut(conversation.SendFromClient), Cut(conversation.SendFromServer))).ToList();
            Assert.That(cut.Where(conversation => conversation.HasArrived), Is.Empty);
            Enforce(null);
            AwaitMarks(0);
            foreach (var (conversation, (fromClient, fromServer)) in cut.Zip(sent))
                conversation.GoOn(fromClient, fromServer);
        }
    }

    [TestCaseSource(nameof(Families))]
    public void With_externalTrafficPolicy_Local_the_address_of_the_client_outside_decides(AddressFamily family)
    {
        Enforce(FromOutside);
        var answers = All(Outsider, Node(1, family), LocalNodePort);
        Assert.That(answers, Is.All.EqualTo(new Introduction("shop/web-1", Outside(family))));
        Enforce(FromAllButOutside);
        None(Outsider, Node(1, family), LocalNodePort);
    }

    [TestCaseSource(nameof(Families))]
    public void With_externalTrafficPolicy_Cluster_the_client_is_seen_where_the_backend_is_on_the_node_asked_and_the_node_elsewhere(AddressFamily family)
    {
        // Source translation happens behind the forward hook of the node asked, so for its own pods policy knows the client; another node's kernel gets packets
        // in which nothing is left of it: there the address of the first node's tunnel decides.
        Enforce(FromOutside);
        Some(Outsider, Node(1, family), ClusterNodePort, _one);
        None(Outsider, Node(3, family), ClusterNodePort);
        Enforce("podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ ipBlock: { cidr: 10.42.3.0/32 } }, { ipBlock: { cidr: \"fd00:42:3::/128\" } }] }]");
        Assert.That(All(Outsider, Node(3, family), ClusterNodePort).Select(answer => answer.Client), Is.All.EqualTo(IPAddress.Parse(family == AddressFamily.InterNetwork ? "10.42.3.0" : "fd00:42:3::")));
    }

    [TestCaseSource(nameof(Families))]
    public void A_host_port_of_the_portmap_plugin_keeps_the_address_of_the_client(AddressFamily family)
    {
        const int HostPort = 8081;
        using var mapping = HostPortMapping.Add(_one, HostPort, TargetPort);
        Enforce(FromOutside);
        Assert.That(All(Outsider, Node(1, family), HostPort), Is.All.EqualTo(new Introduction("shop/web-1", Outside(family))));
        Enforce(FromAllButOutside);
        None(Outsider, Node(1, family), HostPort);
    }

    private static string FromOutside => "podSelector: { matchLabels: { app: web } }, ingress: [{ from: [{ ipBlock: { cidr: 203.0.113.9/32 } }, { ipBlock: { cidr: \"2001:db8::9/128\" } }] }]";

    private static string FromAllButOutside => """
        podSelector: { matchLabels: { app: web } },
          ingress: [{ from: [{ ipBlock: { cidr: 0.0.0.0/0, except: [203.0.113.9/32] } }, { ipBlock: { cidr: "::/0", except: ["2001:db8::9/128"] } }] }]
        """;

    private Netns Outsider => _cluster.Switch.Netns;

    private static IPAddress Outside(AddressFamily family) => IPAddress.Parse(family == AddressFamily.InterNetwork ? "203.0.113.9" : "2001:db8::9");

    private static IPAddress ClusterIP(AddressFamily family) => IPAddress.Parse(family == AddressFamily.InterNetwork ? "10.96.0.10" : "fd00:96::10");

    private static IPAddress Node(int number, AddressFamily family) => IPAddress.Parse(family == AddressFamily.InterNetwork ? $"192.168.7.{number}" : $"fd07::{number}");

    private TestNode ClientsNode => _client.Node;

    // Those of earlier tests are closed, and remembered for a while.
    private void AwaitMarks(int count) => TestCluster.Eventually(
        () => ((string[])["ipv4", "ipv6"]).Sum(family => ClientsNode.Net.Run($"conntrack -L -f {family} -p tcp --state ESTABLISHED -m 0x20000000/0x20000000").Split('\n', StringSplitOptions.RemoveEmptyEntries).Length) == count,
        $"{count} connections are marked as revoked");

    // Sends, and waits until a rule that cuts has dropped it.
    private int Cut(Func<int> send)
    {
        var before = Dropped();
        var sent = send();
        TestCluster.Eventually(() => Dropped() > before, "a packet is dropped as revoked");
        return sent;

        long Dropped() => Revoked().Matches(ClientsNode.Net.Run("nft list table inet overlay")).Sum(match => long.Parse(match.Groups[1].Value));
    }

    [GeneratedRegex("counter packets (\\d+) bytes \\d+ drop comment \"revoked\"")]
    private static partial Regex Revoked();

    private void Enforce(string? spec)
    {
        if (spec is null)
            _cluster.Delete("policy.yaml");
        else
            _cluster.Apply("policy.yaml", $$"""{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: { name: policy, namespace: shop }, spec: { {{spec}} } }""");
        _cluster.AwaitPolicies();
    }

    private void EnforceInCluster(string rules, string subject)
    {
        _cluster.Apply("policy.yaml", $$"""
            { apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: { name: policy }, spec: { tier: Admin, priority: 1, subject: { {{subject}} }, {{rules}} } }
            """);
        _cluster.AwaitPolicies();
    }

    private static IReadOnlyList<Introduction> All(Netns from, IPAddress address, int port)
    {
        var answers = NamedServer.Ask(from, address, port, Times, expected: Times);
        Assert.That(answers, Has.Count.EqualTo(Times), $"{address}:{port} answers");
        return answers;
    }

    private static void None(Netns from, IPAddress address, int port) =>
        Assert.That(NamedServer.Ask(from, address, port, Times, expected: 0), Is.Empty, $"{address}:{port} does not answer");

    // The backend is picked at random each time: of so many attempts some lead here, and some elsewhere, to no answer.
    private static void Some(Netns from, IPAddress address, int port, TestPod only)
    {
        var answers = NamedServer.Ask(from, address, port, Times, expected: 1);
        Assert.That(answers.Select(answer => answer.Server), Is.Not.Empty.And.All.EqualTo(only.Name));
        Assert.That(answers, Has.Count.LessThan(Times));
    }

    private void Program(TestNode node)
    {
        if (mode == "ipvs")
            PrepareIpvs(node);
        foreach (var family in Families)
        {
            var podNetwork = family == AddressFamily.InterNetwork ? "10.42.0.0/16" : "fd00:42::/32";
            var endpoints = ((TestPod[])[_one, _two]).Select(pod => (pod.Address(family).ToString(), TargetPort, pod.Node == node)).ToList();
            IReadOnlyList<ProxiedPort> ports =
            [
                new("CLUSTER", ClusterIP(family).ToString(), Port, ClusterNodePort, false, endpoints),
                new("LOCAL", family == AddressFamily.InterNetwork ? "10.96.0.11" : "fd00:96::11", Port, LocalNodePort, true, endpoints),
                new("FAR", ClusterIP(family).ToString(), FarPort, 0, false, [(_two.Address(family).ToString(), FarPort, _two.Node == node)]),
                new("NEAR", ClusterIP(family).ToString(), NearPort, 0, false, [(_near.Address(family).ToString(), NearPort, _near.Node == node)]),
            ];
            if (mode == "nftables")
                node.Net.Run("nft -f -", KubeProxyRules.Nftables(family, podNetwork, ports));
            else if (mode == "ipvs")
                ProgramIpvs(node, family, podNetwork, ports);
            else
                node.Net.Run(family == AddressFamily.InterNetwork ? "iptables-restore" : "ip6tables-restore", KubeProxyRules.Iptables(family, podNetwork, ports));
        }
    }

    // What kube-proxy sets at its start.
    private static void PrepareIpvs(TestNode node)
    {
        // ipvsadm loads the kernel's module, which brings the settings.
        node.Net.Run("ipvsadm --clear");
        node.Net.Netns.Run(() =>
        {
            foreach (var (setting, value) in ((string, string)[])[("vs/conntrack", "1"), ("vs/conn_reuse_mode", "0"), ("vs/expire_nodest_conn", "1"), ("vs/expire_quiescent_template", "1"), ("conf/all/arp_ignore", "1"), ("conf/all/arp_announce", "2")])
                File.WriteAllText($"/proc/sys/net/ipv4/{setting}", value);
        });
        node.Net.Run("ip link add kube-ipvs0 type dummy");
    }

    private static void ProgramIpvs(TestNode node, AddressFamily family, string podNetwork, IReadOnlyList<ProxiedPort> ports)
    {
        foreach (var address in ports.Select(port => port.ClusterIP).Distinct())
            node.Net.Run($"ip address add {address}{(family == AddressFamily.InterNetwork ? "/32" : "/128 nodad")} dev kube-ipvs0");
        node.Net.Run("ipvsadm --restore", KubeProxyRules.Ipvs([.. node.Addresses.Where(address => IPAddress.Parse(address).AddressFamily == family)], ports));
        node.Net.Run("nft -f -", KubeProxyRules.IpvsMasquerading(family, podNetwork, ports));
    }

    // The real plugin, as a runtime calls it behind ours: with our result and the ports asked for.
    private sealed class HostPortMapping : IDisposable
    {
        private readonly TestPod _pod;
        private readonly string _configuration;

        private HostPortMapping(TestPod pod, string configuration) => (_pod, _configuration) = (pod, configuration);

        public static HostPortMapping Add(TestPod pod, int hostPort, int containerPort)
        {
            var result = JsonNode.Parse(pod.Result.GetRawText())!.AsObject();
            result["cniVersion"] = "1.0.0";
            var configuration = JsonSerializer.Serialize(new JsonObject
            {
                ["cniVersion"] = "1.0.0",
                ["name"] = "overlay",
                ["type"] = "portmap",
                ["capabilities"] = new JsonObject { ["portMappings"] = true },
                ["snat"] = true,
                ["runtimeConfig"] = new JsonObject { ["portMappings"] = new JsonArray(new JsonObject { ["hostPort"] = hostPort, ["containerPort"] = containerPort, ["protocol"] = "tcp" }) },
                ["prevResult"] = result,
            });
            var mapping = new HostPortMapping(pod, configuration);
            mapping.Call("ADD");
            return mapping;
        }

        public void Dispose() => Call("DEL");

        private void Call(string command)
        {
            var start = new ProcessStartInfo("/usr/lib/cni/portmap") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
            start.Environment["CNI_COMMAND"] = command;
            start.Environment["CNI_CONTAINERID"] = _pod.ContainerId;
            start.Environment["CNI_NETNS"] = _pod.Net.Path;
            start.Environment["CNI_IFNAME"] = "eth0";
            start.Environment["CNI_PATH"] = "/usr/lib/cni";
            using var process = _pod.Node.Net.Netns.Run(() => Process.Start(start)!);
            process.StandardInput.Write(_configuration);
            process.StandardInput.Close();
            var output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.That(process.ExitCode, Is.Zero, $"portmap {command}: {output}");
        }
    }
}

/// <summary>The chains of the oldest mode.</summary>
public class IptablesServiceTests() : ProxiedServiceTests("iptables");

/// <summary>The maps of the newest.</summary>
public class NftablesServiceTests() : ProxiedServiceTests("nftables");

/// <summary>Mode ipvs: what goes to a Service is not forwarded, but taken in and sent on. It needs a kernel with IPVS.</summary>
[InGuest]
public class IpvsServiceTests() : ProxiedServiceTests("ipvs");
