using Overlay.Dataplane.Probing;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Probing;

/// <summary>What a row of tries says of a way.</summary>
public class PeerFindingTests
{
    private static readonly DateTime Noon = new(2026, 1, 1, 12, 0, 0, DateTimeKind.Utc);
    private static readonly ProbeTarget Way = new("node-2", InetAddress.Parse("10.42.2.0"), InetAddress.Parse("192.0.2.2"), "overlay-vxlan", "UDP port 4789", 1450);
    private static readonly ProbeOutcome Full = new(true, true, true, Checksums.Right, TimeSpan.FromMilliseconds(0.4));

    // F: a full-size answer, s: a small one, o: one on the underlay, n: none.
    [TestCase("", "Unknown")]
    [TestCase("F", "Reached")]
    [TestCase("n", "Unknown?")]
    [TestCase("nn", "Unknown?")]
    [TestCase("nnn", "Silent")]
    [TestCase("ooo", "Closed")]
    [TestCase("nnF", "Reached")]
    [TestCase("Fn", "Reached?")]
    [TestCase("FnF", "Reached")]
    [TestCase("Fnn", "Silent")]
    [TestCase("Fss", "TooBig")]
    [TestCase("Fso", "Closed")]
    [TestCase("FssF", "Reached")]
    [TestCase("Fnno", "Closed")]
    [TestCase("FnnFn", "Reached?")]
    public void Tries_make_a_finding(string tries, string expected)
    {
        var finding = tries.Aggregate(new PeerFinding(Way), (known, letter) => known.After(Outcome(letter), Noon));
        Assert.That($"{finding.Reachability}{(finding.IsOpen ? "?" : "")}", Is.EqualTo(expected));
        Assert.That(finding.Problem.Length > 0, Is.EqualTo(finding.Reachability is Reachability.Silent or Reachability.Closed or Reachability.TooBig));
    }

    [Test]
    public void The_last_answer_and_what_is_known_of_checksums_are_kept()
    {
        var finding = new PeerFinding(Way).After(Full with { Checksums = Checksums.Wrong }, Noon).After(Full with { Checksums = Checksums.Unknown }, Noon.AddSeconds(15)).After(default, Noon.AddSeconds(30));
        Assert.That((finding.Checksums, finding.LastAnswer, finding.RoundTrip), Is.EqualTo((Checksums.Wrong, (DateTime?)Noon.AddSeconds(15), Full.RoundTrip)));
        Assert.That(finding.After(Full, Noon).Checksums, Is.EqualTo(Checksums.Right));
    }

    private static ProbeOutcome Outcome(char letter) => letter switch
    {
        'F' => Full,
        's' => new(false, true, false, Checksums.Unknown, TimeSpan.FromMilliseconds(1)),
        'o' => new(false, false, true, Checksums.Unknown, default),
        _ => default,
    };
}
