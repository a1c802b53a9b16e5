using System.Diagnostics;
using System.Text.RegularExpressions;
using CsCheck;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

/// <summary>What we print, the real nft(8) reads, and prints back the same.</summary>
public partial class NftTextTests
{
    [Test]
    public void Nft_lists_every_compiled_ruleset_as_we_print_it()
    {
        if (!Environment.IsPrivilegedProcess)
            Assert.Ignore("needs root: nft loads the rulesets in network namespaces of their own");
        Gen.Select(Clusters.Options, Clusters.Snapshots).Sample(
            (options, snapshot) =>
            {
                var text = NftText.Print(RulesetProjection.FromScratch(snapshot.ToState(options)));
                Assert.That(Normalize(LoadAndList(text)), Is.EqualTo(Normalize(text)));
            },
            iter: 40);
    }

    [Test]
    public void Equal_rulesets_print_equal_texts_whatever_the_order_of_their_parts() =>
        Clusters.Snapshots.Sample(
            snapshot =>
            {
                var ruleset = RulesetProjection.FromScratch(snapshot.ToState(new()));
                var reversed = new Ruleset(
                    ruleset.Chains.Reverse().ToDictionary(),
                    ruleset.Sets.Reverse().ToDictionary(),
                    ruleset.Elements.ToDictionary(pair => pair.Key, IReadOnlyCollection<Element> (pair) => [.. pair.Value.Reverse()]));
                return NftText.Print(ruleset) == NftText.Print(reversed);
            },
            iter: 50);

    // nft breaks lists of elements over lines, sorts them in its own order and counts packets.
    private static string Normalize(string text) => Elements().Replace(
        text.Replace("counter packets 0 bytes 0", "counter"),
        match => $"elements = {{ {string.Join(", ", match.Groups[1].Value.Split(',').Select(element => element.Trim()).Order(StringComparer.Ordinal))} }}");

    private static string LoadAndList(string ruleset)
    {
        using var nft = Process.Start(new ProcessStartInfo("unshare", ["--net", "sh", "-c", "nft -f - && nft list table inet overlay"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var errors = nft.StandardError.ReadToEndAsync();
        var listed = nft.StandardOutput.ReadToEndAsync();
        nft.StandardInput.Write(ruleset);
        nft.StandardInput.Close();
        nft.WaitForExit();
        Assert.That(nft.ExitCode, Is.Zero, () => $"{errors.Result}\n{ruleset}");
        return listed.Result;
    }

    [GeneratedRegex(@"elements = \{([^}]*)\}")]
    private static partial Regex Elements();
}
