using CsCheck;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Tests.Dataplane.Netlink.NftablesShapes;

namespace Overlay.Tests.Dataplane.Netlink;

public class NftablesDecodingTests
{
    [Test]
    public void Any_bytes_are_read_or_refused_as_malformed() =>
        Gen.Byte.Array[0, 200].Sample(ReadEverything, iter: 20_000);

    [Test]
    public void Ranges_are_what_was_written_whatever_the_order_of_their_ends()
    {
        var set = new Set("s", [DataType.InetService], IsInterval: true);
        Gen.Select(Gen.UShort.Array[0, 40], Gen.Int).Sample((bounds, seed) =>
        {
            var ranges = bounds.Distinct().Order().Chunk(2).Where(pair => pair.Length == 2)
                .Select(pair => new Element(default(ElementKey).And(pair[0]), default(ElementKey).And(pair[1]), null)).ToList();
            var sequence = 0u;
            using var batch = new Batch(() => sequence++);
            SetElementMessage.WriteNew(batch, set, ranges);
            var written = new List<KernelElement>();
            foreach (var message in new NetlinkMessages(batch.Writer.Written))
                SetElementMessage.Read(message, written);
            new Random(seed).Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(written));
            Assert.That(Interval.Ranges(set.KeyLength, written), Is.EqualTo(ranges));
        }, iter: 2_000);
    }

    [Test]
    public void A_range_that_nobody_ended_ends_where_the_next_begins()
    {
        var elements = new KernelElement[] { new(Key("10.0.0.0"), null, null, false), new(Key("11.0.0.0"), null, null, false), new(Key("0.0.0.0"), null, null, true) };
        Assert.That(Interval.Ranges(4, elements), Is.EqualTo(new[] { Range("10.0.0.0", "10.255.255.255"), Range("11.0.0.0", "255.255.255.255") }));
    }

    [Test]
    public void Elements_are_spread_over_messages_whose_lists_fit_their_length()
    {
        var sequence = 0u;
        using var batch = new Batch(() => sequence++);
        var target = new string('x', 255);
        var elements = Enumerable.Range(0, 2000).Select(i => Element.Of(default(ElementKey).And((ushort)i), Verdict.Goto(target))).ToList();
        SetElementMessage.WriteNew(batch, new("m", [DataType.InetService], IsVerdictMap: true), elements);
        var written = new List<KernelElement>();
        var lengths = new List<int>();
        foreach (var message in new NetlinkMessages(batch.Writer.Written))
        {
            SetElementMessage.Read(message, written);
            lengths.Add(message.Payload.Length);
        }
        Assert.That(written.Select(element => element.ToElement()), Is.EqualTo(elements));
        Assert.That(lengths, Has.Count.GreaterThan(5).And.All.LessThan(65_536));
    }

    /// <summary>Reads bytes as every kind of message.</summary>
    internal static void ReadEverything(byte[] payload)
    {
        Read<TableMessage>(payload, TableMessage.Read);
        Read<ChainMessage>(payload, ChainMessage.Read);
        foreach (var set in Read<SetMessage>(payload, SetMessage.Read))
            set.ToSet();
        foreach (var rule in Read<RuleMessage>(payload, RuleMessage.Read))
            Assert.That(rule.ToString(), Is.Not.Null);
        Interval.Ranges(4, Read<KernelElement>(payload, SetElementMessage.Read));
    }

    private static List<T> Read<T>(byte[] payload, NetlinkCollector<T> collect)
    {
        var rows = new List<T>();
        try
        {
            collect(new NetlinkMessage(0, 0, 0, payload), rows);
        }
        catch (NetlinkFormatException)
        {
            // What is malformed may be refused, and no other way.
        }
        return rows;
    }
}
