using System.Net;
using System.Text;
using System.Text.Json;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;

namespace Overlay.Tests.Kernel;

/// <summary>Policy comes before connectivity: in what the agent asks of the kernel, and when the kernel says no.</summary>
public class IsolationTests
{
    private TestCluster _cluster = null!;

    [TearDown]
    public void EndCluster() => _cluster?.Dispose();

    [Test]
    public void A_pods_policy_is_committed_before_its_interface_is_asked_for()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        TestPod pod = null!;
        var sent = Sent(node, () => pod = node.AddPod("shop/web"));

        var link = sent.FindIndex(message => message.Contains("nlmsg_type=RTM_NEWLINK") && message.Contains(Hex(pod.HostInterface)));
        Assert.That(link, Is.Not.Negative, "the interface is made");
        foreach (var (map, address) in ((string, byte[])[])[
            ("egress-v4", pod.IPv4.GetAddressBytes()), ("ingress-v4", pod.IPv4.GetAddressBytes()),
            ("egress-v6", pod.IPv6.GetAddressBytes()), ("ingress-v6", pod.IPv6.GetAddressBytes())])
        {
            var element = sent.FindIndex(message => message.Contains("NFT_MSG_NEWSETELEM") && message.Contains(Hex(map)) && message.Contains(Hex(address)));
            Assert.That(element, Is.InRange(0, link - 1), $"{address.Length} bytes in {map} come first");
        }
    }

    [Test]
    public void An_add_that_nftables_refuses_fails_in_one_sentence_and_leaves_nothing_behind()
    {
        _cluster = TestCluster.Create(1);
        var node = _cluster.Nodes[0];
        TestCluster.Eventually(() => node.Net.Run("ip -6 address show tentative").Length == 0, "the uplink's own address, and so its routes, are settled");
        var (links, routes) = (node.Net.Run("ip -o link show type veth"), node.Net.Run("ip route show table all"));

        // A table with an owner (Linux 5.12) is for nobody else to change, and goes with its owner's socket.
        using (var owner = node.Net.Open(NetlinkProtocol.NETLINK_NETFILTER))
        {
            TakeTable(owner);
            using var pod = new TestPod(node, "shop/web");
            var answer = pod.TryAdd([]);
            Assert.That(answer.ExitCode, Is.Not.Zero);
            var error = JsonDocument.Parse(answer.Output).RootElement;
            Assert.That(error.GetProperty("msg").GetString(), Does.Match(@"^pod shop/web could not be wired: .*nftables.*EPERM").And.Not.Contain("\n"), node.Log);
            Assert.That(node.Net.Run("ip -o link show type veth"), Is.EqualTo(links));
            Assert.That(node.Net.Run("ip route show table all"), Is.EqualTo(routes));
            Assert.That(pod.Net.Run("ip -o link show"), Does.Not.Contain("eth0"));
            node.AssertNoPod();
        }

        var (web, late) = (node.AddPod("shop/web"), node.AddPod("shop/late"));
        late.Serve(5432);
        TestCluster.Eventually(() => web.Connects(late.IPv4, 5432), "once the table is free, pods are wired", () => node.Log);
    }

    [Test]
    public void An_isolated_pod_reaches_itself_through_a_Service_and_nobody_else()
    {
        _cluster = TestCluster.Create(1);
        _cluster.Apply("web.yaml", """{ apiVersion: v1, kind: Pod, metadata: { name: web, namespace: shop, labels: { app: web } } }""");
        _cluster.Apply("policy.yaml", """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: web, namespace: shop }
            spec: { podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress, Egress] }
            """);
        var node = _cluster.Nodes[0];
        var (web, db) = (node.AddPod("shop/web"), node.AddPod("shop/db"));
        web.Serve(8080);
        db.Serve(8080);

        // As kube-proxy does it: a Service for each pod, and who asks himself is given the node's address, or he would answer himself directly.
        node.Net.Run("nft -f -", $$"""
            table inet proxy {
              chain prerouting {
                type nat hook prerouting priority dstnat
                ip daddr 10.96.0.1 tcp dport 80 dnat ip to {{web.IPv4}}:8080
                ip daddr 10.96.0.2 tcp dport 80 dnat ip to {{db.IPv4}}:8080
                ip6 daddr fd96::1 tcp dport 80 dnat ip6 to [{{web.IPv6}}]:8080
                ip6 daddr fd96::2 tcp dport 80 dnat ip6 to [{{db.IPv6}}]:8080
              }
              chain postrouting {
                type nat hook postrouting priority srcnat
                ip saddr {{web.IPv4}} ip daddr {{web.IPv4}} masquerade
                ip6 saddr {{web.IPv6}} ip6 daddr {{web.IPv6}} masquerade
              }
            }
            """);
        foreach (var (own, other) in ((string, string)[])[("10.96.0.1", "10.96.0.2"), ("fd96::1", "fd96::2")])
        {
            TestCluster.Eventually(() => web.Connects(IPAddress.Parse(own), 80), $"web reaches itself at {own}", () => node.Net.Run("nft list ruleset"));
            Assert.That(web.Connects(IPAddress.Parse(other), 80), Is.False);
            Assert.That(db.Connects(IPAddress.Parse(own), 80), Is.False);
        }
    }

    private static void TakeTable(NetlinkSocket owner)
    {
        using var batch = new Batch(owner.NextSequence);
        TableMessage.WriteDelete(batch);
        new TableMessage(NftTableFlags.NFT_TABLE_F_OWNER).WriteNew(batch);
        batch.End();
        Assert.That(batch.Send(owner), Is.Empty);
    }

    // What the agent sends on netlink sockets meanwhile, in order, with all bytes in hexadecimal; a netlink request is done when sendto returns.
    private static List<string> Sent(TestNode node, Action action)
    {
        var file = Path.GetTempFileName();
        try
        {
            // Inside the namespace, where it can see which socket speaks which netlink.
            using var strace = node.Net.Start("strace", "-f", "-xx", "-s", "1048576", "-e", "trace=sendto,sendmsg", "-o", file, "-p", node.AgentId.ToString());
            if (strace.StandardError.ReadLine() is not { } said || !said.Contains("attached"))
                Assert.Ignore("Needs strace, and the right to use it: install strace, allow ptrace.");
            action();
            _ = Libc.Terminate(strace.Id);
            strace.WaitForExit();
            return [.. File.ReadLines(file).SelectMany(call => call.Split("{nlmsg_len=")[1..])];
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static string Hex(string text) => Hex(Encoding.ASCII.GetBytes(text));

    private static string Hex(byte[] bytes) => string.Concat(bytes.Select(octet => $"\\x{octet:x2}"));
}
