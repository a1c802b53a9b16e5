using System.Diagnostics;

namespace Overlay.Tests.Fuzz;

/// <summary>
/// Every reader of what a stranger can write, with damaged input: it says what came of it or refuses in the documented way, always the same, with work in
/// proportion. <c>OVERLAY_FUZZ_SECONDS</c> is the time for each reader, <c>OVERLAY_SEED</c> repeats a run; an input that fails is printed, to become a file of
/// Corpus.
/// </summary>
public class FuzzTests
{
    private const double OrdinarySeconds = 1.5;

    // Reading allocates, so what is allocated tells how much work it was, on any machine alike. The largest inputs have 32 KiB.
    private const long MaxAllocated = 256L << 20;

    private static readonly int Seed = int.TryParse(Environment.GetEnvironmentVariable("OVERLAY_SEED"), out var given) ? given : Random.Shared.Next();

    private static readonly double Seconds = double.TryParse(Environment.GetEnvironmentVariable("OVERLAY_FUZZ_SECONDS"), out var given) ? given : OrdinarySeconds;

    private static IEnumerable<string> Targets => FuzzTarget.All.Select(target => target.Name);

    [TestCaseSource(nameof(Targets))]
    public void Damaged_input_is_read_or_refused_and_nothing_else(string name)
    {
        var target = FuzzTarget.All.Single(target => target.Name == name);
        var corpus = target.Corpus();
        Assert.That(corpus, Is.Not.Empty);
        foreach (var input in corpus)
            Read(target, input, 0);
        var mutator = new Mutator(new Random(Seed), corpus);
        var clock = Stopwatch.StartNew();
        var count = 0;
        for (; clock.Elapsed.TotalSeconds < Seconds; count++)
            Read(target, mutator.Next(), count);
        TestContext.Out.WriteLine($"OVERLAY_SEED={Seed}: {name} read {corpus.Count} inputs of the corpus and {count} damaged ones");
        Assert.That(count, Is.Positive);
    }

    private static void Read(FuzzTarget target, byte[] input, int count)
    {
        try
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            var outcome = target.Read(input);
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MaxAllocated), "bytes allocated");
            if (count % 16 == 0)
                Assert.That(target.Read(input), Is.EqualTo(outcome), "read twice");
        }
        catch (Exception e)
        {
            throw new AssertionException($"{target}: {e.GetType()}: {e.Message}\n{e.StackTrace}\nOVERLAY_SEED={Seed}, input as base64 (base64 -d > Tests/Fuzz/Corpus/…):\n{Convert.ToBase64String(input)}");
        }
    }
}
