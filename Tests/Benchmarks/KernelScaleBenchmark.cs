using System.Diagnostics;
using System.Globalization;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// What the same change of a large ruleset costs by our transaction and by <c>nft -f</c>, in the same run, by turns, each in a namespace of its own. Ours begins with the change as data and ends when the kernel
/// has said yes; nft's begins before its process is started, with the text written already. <c>./build.ps1 bench scale</c>; the suite runs it small, to keep it working.
/// </summary>
public class KernelScaleBenchmark
{
    private const string Nft = "/usr/sbin/nft";
    private static readonly bool IsBench = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1";
    private static readonly int Count = IsBench ? 100_000 : 500;
    private static readonly int Rounds = IsBench ? 7 : 1;
    private static readonly int Changes = IsBench ? 50 : 2;
    private static readonly Set Large = new("large", [DataType.Ipv4Addr]);
    private static readonly Set Other = new("other", [DataType.Ipv4Addr, DataType.InetProto, DataType.InetService]);
    private static readonly Set Dispatch = new("dispatch", [DataType.Ipv4Addr], IsVerdictMap: true);

    [Test]
    public void Against_nft()
    {
        if (!File.Exists(Nft))
            Assert.Ignore($"There is no {Nft} to compare with.");
        using var ours = NftablesFixture.Create();
        using var theirs = NftablesFixture.Create();
        var empty = Rulesets.Of([], [Large, Other, Dispatch]);
        Print($"elements in the set {Count}, {Environment.ProcessorCount} processors, Linux {Environment.OSVersion.Version}, median of each");

        var elements = Enumerable.Range(0, Count).Select(i => Element.Of(ElementKey.Of(At(i)))).ToList();
        var load = RulesetDelta.Empty with { Elements = elements.Select(element => new SetElement(Large.Name, element)).ToEquatableArray() };
        Compare(
            $"{Count} elements in one transaction",
            Rounds,
            before: _ =>
            {
                ours.Table.Resync(empty);
                theirs.Table.Resync(empty);
            },
            _ => ours.Table.Apply(load),
            _ => Add(Large, elements),
            theirs.Net);
        Compare(
            "one more element",
            Changes,
            before: _ => { },
            i => ours.Table.Apply(RulesetDelta.Empty with { Elements = [new(Large.Name, Element.Of(ElementKey.Of(At(Count + i))))] }),
            i => Add(Large, [Element.Of(ElementKey.Of(At(Count + i)))]),
            theirs.Net);
        Compare(
            "a chain with ten rules and its element in the verdict map",
            Changes,
            before: _ => { },
            i => ours.Table.Apply(RulesetDelta.Empty with { Chains = [ChainOf(i)], Elements = [new(Dispatch.Name, ToChain(i))] }),
            i => $"table inet overlay {{\n{NftText.Print(ChainOf(i))}}}\n{Add(Dispatch, [ToChain(i)])}",
            theirs.Net);
        Assert.That(theirs.Table.Dump().Elements[Large.Name], Has.Count.EqualTo(Count + Changes), "the two did the same");
        Assert.That(ours.Table.Dump().Elements[Large.Name], Has.Count.EqualTo(Count + Changes));
        Assert.That(ours.Table.Dump().Chains, Has.Count.EqualTo(Changes));
        Assert.That(theirs.Table.Dump().Chains.Values.Sum(chain => chain.Rules.Count), Is.EqualTo(Changes * 10));
    }

    [Test]
    public void Verification()
    {
        using var kernel = NftablesFixture.Create();
        var wanted = Rulesets.Of(
            [],
            [Large, Other],
            [.. Enumerable.Range(0, Count).SelectMany(i => ((string, Element)[])[(Large.Name, Element.Of(ElementKey.Of(At(i)))), (Other.Name, Element.Of(ElementKey.Of(At(i)).And(IpProtocol.Tcp).And((ushort)80)))])]);
        kernel.Table.Resync(wanted);
        var times = Enumerable.Range(0, Rounds).Select(_ => Time(() => Assert.That(kernel.Table.Verify(wanted), Is.Empty))).ToList();
        Print($"verify of {2 * Count} elements: {Median(times):0} ms");
    }

    private static void Compare(string what, int rounds, Action<int> before, Action<int> ours, Func<int, string> theirs, NetnsFixture net)
    {
        List<double> own = [], nft = [];
        var file = Path.GetTempFileName();
        try
        {
            for (var i = 0; i < rounds; i++)
            {
                before(i);
                own.Add(Time(() => ours(i)));
                File.WriteAllText(file, theirs(i));
                var outcome = net.Netns.Run(() => ChildProcess.Run(Nft, [], arguments: ["-f", file]));
                Assert.That(outcome.ExitCode, Is.Zero);
                nft.Add(outcome.Wall.TotalMilliseconds);
            }
        }
        finally
        {
            File.Delete(file);
        }

        Print($"  {what}: {Median(own):0.000} ms, nft -f {Median(nft):0.000} ms, {Median(nft) / Median(own):0.0} times");
    }

    private static string Add(Set set, IEnumerable<Element> elements) => $"add element inet overlay {set.Name} {{ {string.Join(", ", elements.Select(element => NftText.Print(set, element)))} }}\n";

    // Ten rules as policies have them: of peers, protocol and port.
    private static Chain ChainOf(int i) => new($"chain-{i}", null, Enumerable.Range(0, 10)
        .Select(port => new Rule([new Match.AddressInSet(Side.Saddr, Family.IPv4, Large.Name), new Match.DestinationPort(IpProtocol.Tcp, (ushort)(8_000 + port), (ushort)(8_000 + port))], [new Statement.Final(Verdict.Accept)])).ToEquatableArray());

    private static Element ToChain(int i) => Element.Of(ElementKey.Of(new InetAddress(Family.IPv4, 0x0b000000u + (uint)i)), Verdict.Goto($"chain-{i}"));

    private static InetAddress At(int i) => new(Family.IPv4, 0x0a000000u + (2 * (uint)i));

    private static double Time(Action action)
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static double Median(List<double> times) => times.Order().ElementAt(times.Count / 2);

    private static void Print(FormattableString line) => TestContext.Progress.WriteLine(line.ToString(CultureInfo.InvariantCulture));
}
