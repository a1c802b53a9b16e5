using System.Diagnostics;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Kernel;

/// <summary>Large sets. The times are printed, not judged: they are the machine's.</summary>
public class NftablesScaleTests
{
    private const int Count = 100_000;

    [TestCase(false, 1)]
    [TestCase(false, 3)]
    [TestCase(true, 1)]
    public void A_hundred_thousand_elements_are_loaded_read_back_and_changed(bool isInterval, int parts)
    {
        using var kernel = NftablesFixture.Create();
        var key = parts == 1 ? new[] { DataType.Ipv4Addr } : [DataType.Ipv4Addr, DataType.InetProto, DataType.InetService];
        var set = new Set("s", key.ToEquatableArray(), isInterval);
        var elements = Enumerable.Range(0, Count).Select(i => At(i, parts)).ToHashSet();
        var wanted = new Ruleset(new Dictionary<string, Chain>(), new Dictionary<string, Set> { ["s"] = set }, new Dictionary<string, IReadOnlyCollection<Element>> { ["s"] = elements });

        Measure("load", () => kernel.Table.Resync(wanted));
        Measure("compare", () => Assert.That(kernel.Table.Verify(wanted), Is.Empty));
        Measure("add one", () => kernel.Table.Apply(RulesetDelta.Empty with { Elements = [new("s", At(Count, parts))] }), repeat: i =>
            kernel.Table.Apply(RulesetDelta.Empty with { Elements = [new("s", At(Count + 1 + i, parts))] }));
        elements.UnionWith(Enumerable.Range(Count, 101).Select(i => At(i, parts)));
        Assert.That(kernel.Table.Verify(wanted), Is.Empty);
        elements.Clear();
        Measure("delete all", () => Assert.That(kernel.Table.Resync(wanted), Has.Count.EqualTo(1)));
        Assert.That(kernel.Table.Verify(wanted), Is.Empty);
    }

    // Every other address, so that ranges do not touch.
    private static Element At(int i, int parts)
    {
        var key = ElementKey.Of(new InetAddress(Family.IPv4, 0x0a000000u + 2 * (uint)i));
        return Element.Of(parts == 1 ? key : key.And(IpProtocol.Tcp).And((ushort)(i % 60_000)));
    }

    private static void Measure(string what, Action action, Action<int>? repeat = null)
    {
        var clock = Stopwatch.StartNew();
        var cpu = Environment.CpuUsage.TotalTime;
        action();
        TestContext.Out.WriteLine($"{what}: {clock.Elapsed.TotalMilliseconds:f1} ms, of which the processor {(Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds:f1} ms");
        if (repeat is null)
            return;
        var times = new double[100];
        for (var i = 0; i < times.Length; i++)
        {
            clock.Restart();
            repeat(i);
            times[i] = clock.Elapsed.TotalMicroseconds;
        }
        Array.Sort(times);
        TestContext.Out.WriteLine($"{what}, 100 times: median {times[50]:f0} µs, worst {times[^1]:f0} µs");
    }
}
