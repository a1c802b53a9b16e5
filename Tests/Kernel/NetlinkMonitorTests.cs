using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Tests.Kernel;

public class NetlinkMonitorTests
{
    private static CancellationToken Soon => new CancellationTokenSource(TimeSpan.FromSeconds(30)).Token;

    [Test]
    public async Task A_change_made_by_somebody_else_is_heard()
    {
        using var net = NetnsFixture.Create();
        using var monitor = Open(net);
        var waiting = monitor.ReceiveAsync(Soon).AsTask();
        Assert.That(waiting.IsCompleted, Is.False);
        net.Run("ip link add br0 type bridge");
        Assert.That(Links(await waiting.ConfigureAwait(false)), Is.EqualTo(new[] { "br0" }));
        net.Run("ip link delete br0");
        Assert.That(Links(await monitor.ReceiveAsync(Soon).ConfigureAwait(false)), Is.EqualTo(new[] { "br0" }));
    }

    // Writing what is there already changes nothing, and nothing is told.
    [TestCase("ipv4/ip_forward", Af.AF_INET)]
    [TestCase("ipv4/conf/all/forwarding", Af.AF_INET)]
    [TestCase("ipv6/conf/all/forwarding", Af.AF_INET6)]
    public async Task Forwarding_turned_on_and_off_is_heard(string sysctl, Af family)
    {
        using var net = NetnsFixture.Create();
        net.Run($"sysctl -q -w net/{sysctl}=0");
        using var monitor = net.Netns.Run(() => NetlinkMonitor.Open(NetlinkProtocol.NETLINK_ROUTE, (uint)Rtnlgrp.RTNLGRP_IPV4_NETCONF, (uint)Rtnlgrp.RTNLGRP_IPV6_NETCONF));
        foreach (var value in (int[])[0, 1, 1, 0])
            net.Run($"sysctl -q -w net/{sysctl}={value}");

        var heard = new List<bool?>();
        while (heard.Count < 2)
            heard.AddRange(Settings(await monitor.ReceiveAsync(Soon).ConfigureAwait(false)).Where(setting => setting.Family == family && setting.Index == NetconfMessage.NETCONFA_IFINDEX_ALL).Select(setting => setting.Forwarding));
        Assert.That(heard, Is.EqualTo(new bool?[] { true, false }));
    }

    [Test]
    public void What_has_come_can_be_thrown_away()
    {
        using var net = NetnsFixture.Create();
        using var monitor = Open(net);
        net.Run("ip link add br0 type bridge");
        monitor.Discard();
        net.Run("ip link add br1 type bridge");
        Assert.That(async () => Links(await monitor.ReceiveAsync(Soon).ConfigureAwait(false)), Is.EqualTo(new[] { "br1" }));
    }

    [Test]
    public void Waiting_can_be_cancelled()
    {
        using var net = NetnsFixture.Create();
        using var monitor = Open(net);
        using var cancellation = new CancellationTokenSource();
        var waiting = monitor.ReceiveAsync(cancellation.Token).AsTask();
        cancellation.Cancel();
        Assert.That(async () => await waiting.ConfigureAwait(false), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task Lost_notifications_are_said_to_be_lost_and_hearing_goes_on()
    {
        using var net = NetnsFixture.Create();
        using var monitor = Open(net);
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        using var batch = new NetlinkWriter();
        for (var i = 0; i < 3000; i++)
            LinkMessage.WriteSet(batch, socket.NextSequence(), new LinkSettings { Index = 1, Up = i % 2 == 0 });
        Assert.That(socket.Batch(batch), Is.Empty);
        var lost = false;
        for (var i = 0; i < 3000 && !lost; i++)
        {
            try
            {
                await monitor.ReceiveAsync(Soon).ConfigureAwait(false);
            }
            catch (NetlinkException exception) when (exception.Errno == Errno.ENOBUFS)
            {
                lost = true;
            }
        }
        Assert.That(lost, Is.True);

        net.Run("ip link add br0 type bridge");
        var heard = Array.Empty<string>();
        while (!heard.Contains("br0"))
            heard = Links(await monitor.ReceiveAsync(Soon).ConfigureAwait(false));
    }

    [Test]
    public void A_group_that_does_not_exist_is_refused()
    {
        using var net = NetnsFixture.Create();
        Assert.That(() => net.Netns.Run(() => NetlinkMonitor.Open(NetlinkProtocol.NETLINK_ROUTE, 9999)), Throws.TypeOf<NetlinkException>());
    }

    private static NetlinkMonitor Open(NetnsFixture net) =>
        net.Netns.Run(() => NetlinkMonitor.Open(NetlinkProtocol.NETLINK_ROUTE, (uint)Rtnlgrp.RTNLGRP_LINK));

    private static List<NetconfMessage> Settings(ReadOnlyMemory<byte> datagram)
    {
        var settings = new List<NetconfMessage>();
        foreach (var message in new NetlinkMessages(datagram.Span))
            settings.Add(NetconfMessage.Parse(message));
        return settings;
    }

    private static string[] Links(ReadOnlyMemory<byte> datagram)
    {
        var names = new List<string>();
        foreach (var message in new NetlinkMessages(datagram.Span))
            names.Add(LinkMessage.Parse(message).Name);
        return [.. names];
    }
}
