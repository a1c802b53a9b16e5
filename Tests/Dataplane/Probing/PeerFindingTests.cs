using Overlay.Dataplane.Probing;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Probing;

/// <summary>What a row of tries says of a way.</summary>
public class PeerFindingTests
{
    private static readonly DateTime Noon = new(2026, 1, 1, 12, 0, 0, DateTimeKind.Utc);
    private static readonly ProbeTarget Way = new("node-2", InetAddress.Parse("10.42.2.0"), InetAddress.Parse("192.0.2.2"), "overlay-vxlan", "UDP port 4789", 1450);
    private static readonly ProbeOutcome Full = new(true, true, true, true, 0, TimeSpan.FromMilliseconds(0.4));

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
    public void The_last_answer_is_kept()
    {
        var finding = new PeerFinding(Way).After(Full, Noon).After(Full, Noon.AddSeconds(15)).After(default, Noon.AddSeconds(30));
        Assert.That((finding.LastAnswer, finding.RoundTrip), Is.EqualTo(((DateTime?)Noon.AddSeconds(15), Full.RoundTrip)));
    }

    // Four pairs a try, say; - : nothing was refused, L: a datagram whose checksum was left to the device.
    [TestCase("4", "Unknown?")]
    [TestCase("44", "Unknown?")]
    [TestCase("444", "Wrong")]
    [TestCase("44-4", "Wrong")]
    [TestCase("44L4", "Right?")]
    [TestCase("44L444", "Wrong")]
    [TestCase("L", "Right")]
    [TestCase("L-", "Right")]
    [TestCase("444-", "Wrong")]
    [TestCase("444L", "Right")]
    public void Checksums_are_wrong_when_twelve_pairs_in_a_row_say_so(string tries, string expected)
    {
        var finding = tries.Aggregate(new PeerFinding(Way), (known, letter) => known.After(Full with { Left = letter == 'L', Broken = letter == '4' ? 4 : 0 }, Noon));
        Assert.That($"{finding.Checksums}{(finding.IsOpen ? "?" : "")}", Is.EqualTo(expected));
    }

    private static ProbeOutcome Outcome(char letter) => letter switch
    {
        'F' => Full,
        's' => new(false, true, false, false, 0, TimeSpan.FromMilliseconds(1)),
        'o' => new(false, false, true, false, 0, default),
        _ => default,
    };
}
