using CsCheck;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine.Explain;

/// <summary>Look-ups in sets of ranges find what walking all ranges finds.</summary>
public class RangesTests
{
    private static readonly IpProtocol[] Protocols = [IpProtocol.Tcp, IpProtocol.Udp, IpProtocol.Sctp];

    [Test]
    public void A_port_is_found_where_a_range_has_it() => Gen.Select(Gen.Select(Gen.Int[0, 2], Gen.UShort[0, 40], Gen.UShort[0, 12]).Array[0, 8], Gen.Bool).Sample((items, disjoint) =>
    {
        var kept = new List<(IpProtocol Protocol, ushort First, ushort Last)>();
        foreach (var (protocol, first, length) in items)
        {
            var range = (Protocols[protocol], First: first, Last: (ushort)(first + length));
            if (!disjoint || !kept.Any(other => other.Protocol == range.Item1 && other.First <= range.Last && range.First <= other.Last))
                kept.Add(range);
        }

        var ranges = new Ranges(
            new("ports", [DataType.InetProto, DataType.InetService], IsInterval: true),
            kept.Select(range => new Element(ElementKey.Of(range.Protocol).And(range.First), ElementKey.Of(range.Protocol).And(range.Last), null)));
        if (disjoint)
            Assert.That(ranges.IsOrdered);
        foreach (var protocol in Protocols)
        {
            for (ushort port = 0; port < 60; port++)
            {
                var wanted = kept.Any(range => range.Protocol == protocol && range.First <= port && port <= range.Last);
                Assert.That(ranges.Find(ElementKey.Of(protocol).And(port)) is not null, Is.EqualTo(wanted), $"{protocol} {port}");
            }
        }
    });
}
