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
