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

    private static string[] Links(ReadOnlyMemory<byte> datagram)
    {
        var names = new List<string>();
        foreach (var message in new NetlinkMessages(datagram.Span))
            names.Add(LinkMessage.Parse(message).Name);
        return [.. names];
    }
}
