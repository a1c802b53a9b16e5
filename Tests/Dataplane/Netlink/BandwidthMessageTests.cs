using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>Queueing disciplines and filters: what our writers send is what <c>tc</c> sends, what the kernel answers is read back (Tests/Golden/README.md).</summary>
public class BandwidthMessageTests
{
    private const int Ovl0 = 10;
    private const int Ovb0 = 12;

    private static readonly Dictionary<string, Action<NetlinkWriter>> Requests = new()
    {
        ["link-add-ifb"] = writer => LinkMessage.WriteNewIfb(writer, 0, new() { Index = Ovb0, Name = "ovb0", Mtu = 1450 }),
        ["qdisc-add-tbf"] = writer => QdiscMessage.WriteNewTbf(writer, 0, Ovl0, 125_000, 10_240, 13_365),
        ["qdisc-add-tbf-rate64"] = writer => QdiscMessage.WriteNewTbf(writer, 0, Ovb0, 5_000_000_000, 4 << 20, 8 << 20),
        ["qdisc-add-ingress"] = writer => QdiscMessage.WriteNewIngress(writer, 0, Ovl0),
        ["filter-add-redirect"] = writer => FilterMessage.WriteNewRedirect(writer, 0, Ovl0, Ovb0),
        ["qdisc-show"] = writer => QdiscMessage.WriteDump(writer, 0),
        ["filter-show"] = writer => FilterMessage.WriteDumpIngress(writer, 0, Ovl0),
    };

    private static IEnumerable<string> Names => Requests.Keys;

    [TestCaseSource(nameof(Names))]
    public void A_request_has_the_bytes_that_iproute2_sends(string name)
    {
        using var writer = new NetlinkWriter();
        Requests[name](writer);
        var golden = Golden.Read("traffic-control/" + name);
        Assert.That(Convert.ToHexString(writer.Written), Is.EqualTo(Convert.ToHexString(name.StartsWith("qdisc-add-tbf", StringComparison.Ordinal) ? WithoutTables(golden.Bytes) : golden.Bytes)), golden.Command);
    }

    [Test]
    public void Every_captured_request_is_compared() =>
        Assert.That(Requests.Keys.Select(name => "traffic-control/" + name),
            Is.EquivalentTo(Golden.Names("traffic-control", "*").Where(name => !name.Contains("/reply-", StringComparison.Ordinal))));

    [Test]
    public void Disciplines_are_read() => Assert.That(Read("reply-qdisc", QdiscMessage.Parse), Is.EqualTo(new QdiscMessage[]
    {
        new() { Index = Ovb0, Handle = TcHandle.First, Parent = TcHandle.TC_H_ROOT, Kind = "tbf", Tbf = new(5_000_000_000, 8 << 20, 13_107) },
        new() { Index = Ovl0, Handle = TcHandle.First, Parent = TcHandle.TC_H_ROOT, Kind = "tbf", Tbf = new(125_000, 13_365, 1_280_000) },
        new() { Index = Ovl0, Handle = TcHandle.Ingress, Parent = TcHandle.TC_H_INGRESS, Kind = "ingress" },
    }));

    [Test]
    public void A_filter_is_read_with_where_it_redirects_to() => Assert.That(Read("reply-filter", FilterMessage.Parse), Is.EqualTo(new FilterMessage[]
    {
        new() { Index = Ovl0, Parent = TcHandle.Ingress, Priority = 1, Kind = "u32" },
        new() { Index = Ovl0, Parent = TcHandle.Ingress, Priority = 1, Kind = "u32", Handle = 0x80000000 },
        new() { Index = Ovl0, Parent = TcHandle.Ingress, Priority = 1, Kind = "u32", Handle = 0x80000800, HasKey = true, Redirect = Ovb0 },
    }));

    // The key of the selector, the protocol, the first action's way of sending.
    [TestCase("24000500 01000100 00000000 00000000 00000000 00000000", "24000500 01000100 00000000 00000000 00000000 ff000000")]
    [TestCase("00080080 0000ffff 00030100", "00080080 0000ffff 08000100")]
    [TestCase("04000000 01000000 01000000 01000000 0c000000", "04000000 01000000 01000000 02000000 0c000000")]
    public void A_filter_of_some_packets_or_of_copies_is_no_redirection(string bytes, string others)
    {
        var reply = Convert.ToHexString(Golden.Read("traffic-control/reply-filter").Bytes);
        var (before, after) = (bytes.Replace(" ", "").ToUpperInvariant(), others.Replace(" ", "").ToUpperInvariant());
        Assert.That(reply, Does.Contain(before));
        Assert.That(Parse(Convert.FromHexString(reply.Replace(before, after)), FilterMessage.Parse)[^1] is { HasKey: true, Redirect: null });
    }

    [Test]
    public void A_bucket_is_known_by_its_rate_its_queue_and_its_burst()
    {
        var tbf = new TbfQdisc(125_000, 13_365, 1_280_000);
        Assert.That(tbf.IsOf(125_000, 10_240, 13_365));
        Assert.That(tbf.IsOf(125_001, 10_240, 13_365), Is.False);
        Assert.That(tbf.IsOf(125_000, 10_240, 13_366), Is.False);
        Assert.That(tbf.IsOf(125_000, 10_241, 13_365), Is.False);

        // 4295 s at that rate: of the ticks the kernel tells 32 bits.
        Assert.That(new TbfQdisc(125_000, uint.MaxValue, unchecked((uint)67_108_863_875)).IsOf(125_000, 536_870_911, uint.MaxValue));
    }

    // tc sends a table of rates, for kernels before 3.8, how that table is scaled, and the burst in ticks, all of which the kernel leaves alone beside TCA_TBF_BURST.
    private static byte[] WithoutTables(byte[] message)
    {
        const int header = 16 + 20, parameters = header + 8 + 4 + 4, buffer = parameters + 28;
        var (cut, length) = (message.Length - 1028, 1028);
        Assert.That(BitConverter.ToUInt16(message, cut), Is.EqualTo(length));
        Assert.That(BitConverter.ToUInt16(message, cut + 2), Is.EqualTo((ushort)TcaTbf.TCA_TBF_RTAB));
        var rest = message[..cut];
        BitConverter.TryWriteBytes(rest, rest.Length);
        BitConverter.TryWriteBytes(rest.AsSpan(header + 8), (ushort)(BitConverter.ToUInt16(rest, header + 8) - length));
        rest[parameters] = 0;
        rest.AsSpan(parameters + 4, 2).Clear();
        rest.AsSpan(buffer, 4).Clear();
        return rest;
    }

    private delegate T Parser<T>(NetlinkMessage message);

    private static List<T> Read<T>(string name, Parser<T> parse) => Parse(Golden.Read("traffic-control/" + name).Bytes, parse);

    private static List<T> Parse<T>(byte[] bytes, Parser<T> parse)
    {
        var rows = new List<T>();
        foreach (var message in new NetlinkMessages(bytes))
            rows.Add(parse(message));
        return rows;
    }
}
