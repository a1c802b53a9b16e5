using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Tests.Dataplane.Netlink.NftablesShapes;

namespace Overlay.Tests.Kernel;

/// <summary>What goes wrong with netlink in large clusters and under load; the kernel itself is brought to it.</summary>
public class NetlinkFaultTests
{
    private const int Addresses = 2_000;

    [Test]
    public void A_dump_during_which_something_changed_is_made_again()
    {
        using var net = WithAddresses();
        using var other = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        var endpoint = TappedEndpoint.Open(net, NetlinkProtocol.NETLINK_ROUTE);
        using var socket = new NetlinkSocket(endpoint);
        endpoint.Received = () =>
        {
            endpoint.Received = null;
            Add(other, Addresses + 1, 1);
        };
        var dump = AddressMessage.Dump(socket);
        Assert.That(dump.Select(address => address.Prefix.Address).Distinct().Count(), Is.EqualTo(Addresses + 1), "with what came meanwhile, and nothing twice");
        Assert.That(dump, Has.Count.EqualTo(Addresses + 1));
        Assert.That(socket.Sent.Messages, Is.EqualTo(2));
    }

    [Test]
    public void A_dump_during_which_something_changes_each_time_is_given_up()
    {
        using var net = WithAddresses();
        using var other = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        var endpoint = TappedEndpoint.Open(net, NetlinkProtocol.NETLINK_ROUTE);
        using var socket = new NetlinkSocket(endpoint);
        var next = Addresses;
        endpoint.Received = () => Add(other, ++next, 1);
        var exception = Assert.Throws<NetlinkException>(() => AddressMessage.Dump(socket))!;
        Assert.That((exception.Errno, exception.IsTransient), Is.EqualTo((Errno.EINTR, true)));

        endpoint.Received = null;
        Assert.That(AddressMessage.Dump(socket), Has.Count.EqualTo(next), "and nothing of it is in the way of the next");
    }

    [Test]
    public void A_dump_of_which_the_kernel_says_that_something_was_lost_is_made_again()
    {
        using var net = WithAddresses();
        using var other = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        var endpoint = TappedEndpoint.Open(net, NetlinkProtocol.NETLINK_ROUTE);
        using var socket = new NetlinkSocket(endpoint);

        // What fills the buffer of a socket is that it hears of changes. Nobody reads them, so the kernel drops some, and says ENOBUFS at the next reading: that of the dump.
        endpoint.Inner.SetOption(NetlinkOption.NETLINK_ADD_MEMBERSHIP, (int)Rtnlgrp.RTNLGRP_IPV4_IFADDR);
        socket.SetReceiveBuffer(8192);
        Add(other, Addresses + 1, 500);
        Assert.That(AddressMessage.Dump(socket), Has.Count.EqualTo(Addresses + 500));
        Assert.That(socket.Sent.Messages, Is.EqualTo(2));
    }

    [Test]
    public void A_ruleset_that_changes_while_it_is_read_is_read_again()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var endpoint = TappedEndpoint.Open(kernel.Net, NetlinkProtocol.NETLINK_NETFILTER);
        using var socket = new NetlinkSocket(endpoint);
        var readings = 0;
        endpoint.Sending = type =>
        {
            if (type == Message(NftMsgType.NFT_MSG_GETSETELEM) && readings++ == 0)
                kernel.Table.Apply(RulesetDelta.Empty with { Chains = [new("meanwhile", null, [])], Elements = [new("hash-v4", V4("10.9.9.9"))] });
        };
        var dump = NftablesDump.Read(socket);
        Assert.That(dump.Chains.Keys, Does.Contain("meanwhile"), "which was not there when chains were read first");
        Assert.That(dump.Elements["hash-v4"], Does.Contain(V4("10.9.9.9")));
        Assert.That(dump.Generation, Is.EqualTo(GenerationMessage.Query(kernel.Socket)));
    }

    [Test]
    public void A_ruleset_that_changes_each_time_it_is_read_is_given_up()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var endpoint = TappedEndpoint.Open(kernel.Net, NetlinkProtocol.NETLINK_NETFILTER);
        using var socket = new NetlinkSocket(endpoint);
        var changes = 0;
        endpoint.Sending = type =>
        {
            if (type == Message(NftMsgType.NFT_MSG_GETCHAIN))
                kernel.Table.Apply(RulesetDelta.Empty with { Chains = [new($"meanwhile-{++changes}", null, [])] });
        };
        var exception = Assert.Throws<NetlinkException>(() => NftablesDump.Read(socket))!;
        Assert.That((exception.Errno, exception.IsTransient, changes), Is.EqualTo((Errno.EINTR, true, 10)));
    }

    [Test]
    public void A_repair_of_what_has_changed_since_it_was_read_is_made_anew()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        kernel.Net.Run("nft flush set inet overlay hash-v4");
        var endpoint = TappedEndpoint.Open(kernel.Net, NetlinkProtocol.NETLINK_NETFILTER);
        using var socket = new NetlinkSocket(endpoint);
        var transactions = 0;
        endpoint.Sending = type =>
        {
            if (type == Nfnetlink.NFNL_MSG_BATCH_BEGIN && transactions++ == 0)
                kernel.Net.Run("nft flush set inet overlay hash-v6");
        };
        Assert.That(new NftablesTable(socket).Resync(Shapes), Is.Not.Empty);
        Assert.That(transactions, Is.EqualTo(2), "the kernel refuses the first");
        Assert.That(kernel.Table.Verify(Shapes), Is.Empty);
    }

    [Test]
    public void A_transaction_that_is_larger_than_the_send_buffer_goes_in_one_piece()
    {
        using var kernel = NftablesFixture.Create();
        var endpoint = TappedEndpoint.Open(kernel.Net, NetlinkProtocol.NETLINK_NETFILTER);
        using var socket = new NetlinkSocket(endpoint);
        socket.SetSendBuffer(4096);
        var table = new NftablesTable(socket);
        var set = new Set("s", [DataType.Ipv4Addr]);
        table.Resync(Rulesets.Of([], [set]));
        var transactions = 0;
        endpoint.Sending = type => transactions += type == Nfnetlink.NFNL_MSG_BATCH_BEGIN ? 1 : 0;
        var elements = Enumerable.Range(0, 50_000).Select(i => Element.Of(ElementKey.Of(At(i)))).ToList();
        table.Apply(RulesetDelta.Empty with { Elements = elements.Select(element => new SetElement("s", element)).ToEquatableArray() });
        Assert.That(transactions, Is.EqualTo(1));
        Assert.That(socket.Sent.Bytes, Is.GreaterThan(500_000));
        Assert.That(kernel.Table.Dump().Elements["s"], Has.Count.EqualTo(elements.Count));
    }

    // Enough that a dump of them takes several datagrams, of which the kernel has made two at most when the first is read.
    private static NetnsFixture WithAddresses()
    {
        var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        Add(socket, 1, Addresses);
        return net;
    }

    private static void Add(NetlinkSocket socket, int first, int count)
    {
        using var batch = new NetlinkWriter();
        for (var i = 0; i < count; i++)
            AddressMessage.WriteNew(batch, socket.NextSequence(), new() { Index = 1, Prefix = Cidr.Host(At(first + i)) });
        Assert.That(socket.Batch(batch), Is.Empty);
    }

    private static InetAddress At(int i) => new(Family.IPv4, 0x0a000000u + (uint)i);

    private static ushort Message(NftMsgType type) => (ushort)((Nfnetlink.NFNL_SUBSYS_NFTABLES << 8) | (byte)type);
}
