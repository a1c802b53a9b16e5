using CsCheck;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>What we ask of connection tracking is what <c>conntrack</c> asks, and what the kernel answers is read (Tests/Golden/README.md).</summary>
public class ConntrackMessageTests
{
    private const uint Mark = 0x20000000;
    private const IpConntrackStatus Answered = IpConntrackStatus.IPS_SEEN_REPLY | IpConntrackStatus.IPS_CONFIRMED;
    private const IpConntrackStatus NatDone = (IpConntrackStatus)(1 << 7 | 1 << 8);

    private static readonly InetAddress Web4 = InetAddress.Parse("10.42.1.5"), Db4 = InetAddress.Parse("10.42.1.6");
    private static readonly InetAddress Web6 = InetAddress.Parse("fd00:42:1::5"), Db6 = InetAddress.Parse("fd00:42:1::6");

    private static readonly Dictionary<string, ConntrackTuple> Updated = new()
    {
        ["update-udp-v4"] = new(Web4, Db4, 17, 40000, 53),
        ["update-udp-v6"] = new(Web6, Db6, 17, 40000, 53),
        ["update-icmp"] = new(Web4, Db4, 1, 0x1234, 8 << 8),
        ["update-icmpv6"] = new(Web6, Db6, 58, 0x1234, 128 << 8),
    };

    [TestCase("list", NfFamily.NFPROTO_UNSPEC, 0u)]
    [TestCase("list-v6", NfFamily.NFPROTO_IPV6, 0u)]
    [TestCase("list-mark-v4", NfFamily.NFPROTO_IPV4, Mark)]
    public void A_list_is_asked_for_with_the_bytes_of_conntrack(string name, NfFamily family, uint mark)
    {
        using var writer = new NetlinkWriter();
        ConntrackMessage.WriteDump(writer, 0, family, mark, mark);
        Assert.That(Convert.ToHexString(writer.Written), Is.EqualTo(Convert.ToHexString(Golden.Read($"conntrack/{name}").Bytes)));
    }

    // conntrack writes the whole mark; which bits of it are meant we say behind that.
    [TestCaseSource(nameof(Updated))]
    public void A_mark_is_set_with_the_bytes_of_conntrack_and_a_mask(KeyValuePair<string, ConntrackTuple> updated)
    {
        using var writer = new NetlinkWriter();
        var message = new ConntrackMessage(updated.Value, default, Answered, 0).WriteMark(writer, 0, Mark, Mark);
        writer.AddFlags(message, (ushort)NlmF.NLM_F_ACK);
        var golden = Golden.Read($"conntrack/{updated.Key}").Bytes;
        byte[] mask = [8, 0, 21, 0, 0x20, 0, 0, 0];
        Assert.That(Convert.ToHexString(writer.Written[4..]), Is.EqualTo(Convert.ToHexString([.. golden.AsSpan(4), .. mask])));
        Assert.That(BitConverter.ToInt32(writer.Written), Is.EqualTo(golden.Length + mask.Length));
    }

    // conntrack names the connection by both of its directions and by what else it knows of it; one direction is enough.
    [TestCase("delete-udp-v4", "update-udp-v4")]
    [TestCase("delete-udp-v6", "update-udp-v6")]
    public void A_connection_is_deleted_with_the_first_bytes_of_conntrack(string name, string tuple)
    {
        using var writer = new NetlinkWriter();
        var message = new ConntrackMessage(Updated[tuple], default, Answered, 0).WriteDelete(writer, 0);
        writer.AddFlags(message, (ushort)NlmF.NLM_F_ACK);
        var golden = Golden.Read($"conntrack/{name}").Bytes;
        Assert.That(Convert.ToHexString(writer.Written[4..]), Is.EqualTo(Convert.ToHexString(golden.AsSpan(4, writer.Written.Length - 4))));
    }

    [Test]
    public void Connections_are_read() => Assert.That(Read("reply-v4").Concat(Read("reply-v6")), Is.EqualTo(new ConntrackMessage[]
    {
        new(new(Web4, Db4, 17, 40000, 53), new(Db4, Web4, 17, 53, 40000), Answered | NatDone, 1),
        new(new(Web4, Db4, 17, 40002, 54), new(Db4, Web4, 17, 54, 40002), Answered | NatDone, 1, Zone: 7),
        new(new(Web4, InetAddress.Parse("10.96.0.1"), 6, 40001, 80), new(Db4, Web4, 6, 8080, 40001), Answered | NatDone | IpConntrackStatus.IPS_DST_NAT | IpConntrackStatus.IPS_ASSURED, 1),
        new(new(Web4, Db4, 1, 0x1234, 8 << 8), new(Db4, Web4, 1, 0x1234, 0), Answered | NatDone, 1),
        new(new(Web6, Db6, 17, 40000, 53), new(Db6, Web6, 17, 53, 40000), Answered | NatDone, 1),
        new(new(Web6, InetAddress.Parse("fd00:96::1"), 6, 40001, 80), new(Db6, Web6, 6, 8080, 40001), Answered | NatDone | IpConntrackStatus.IPS_DST_NAT | IpConntrackStatus.IPS_ASSURED, 1),
        new(new(Web6, Db6, 58, 0x1234, 128 << 8), new(Db6, Web6, 58, 0x1234, 129 << 8), Answered | NatDone, 1),
    }));

    [Test]
    public void Every_tuple_is_read_as_it_was_written()
    {
        var address = Gen.Select(Gen.Bool, Gen.ULong, (isIPv4, number) => isIPv4 ? new InetAddress(Family.IPv4, (uint)number) : new InetAddress(Family.IPv6, (UInt128)number << 64 | number));
        Gen.Select(address, address, Gen.Byte, Gen.UShort, Gen.UShort, Gen.UShort)
            .Where(tuple => tuple.Item1.Family == tuple.Item2.Family)
            .Select((source, destination, protocol, from, to, zone) => new ConntrackTuple(source, destination, protocol, from, to, zone))
            .Sample(tuple =>
            {
                using var writer = new NetlinkWriter();
                new ConntrackMessage(tuple, default, default, 0, 9).WriteMark(writer, 1, Mark, Mark);
                foreach (var message in new NetlinkMessages(writer.Written))
                    Assert.That(ConntrackMessage.Parse(message), Is.EqualTo(new ConntrackMessage(tuple, default, default, Mark, 9)));
            });
    }

    [Test]
    public void Damaged_replies_throw_nothing_but_format_exceptions() =>
        Gen.Select(Gen.Bool.Select(isIPv4 => isIPv4 ? "reply-v4" : "reply-v6"), Gen.Int[20, 600], Gen.Byte).Sample((name, position, value) =>
        {
            var damaged = Golden.Read($"conntrack/{name}").Bytes;
            damaged[position] = value;
            try
            {
                foreach (var message in new NetlinkMessages(damaged))
                    ConntrackMessage.Parse(message);
            }
            catch (NetlinkFormatException)
            {
                // The one exception that bad bytes may cause.
            }
        });

    private static List<ConntrackMessage> Read(string name)
    {
        var connections = new List<ConntrackMessage>();
        foreach (var message in new NetlinkMessages(Golden.Read($"conntrack/{name}").Bytes))
            connections.Add(ConntrackMessage.Parse(message));
        return connections;
    }
}
