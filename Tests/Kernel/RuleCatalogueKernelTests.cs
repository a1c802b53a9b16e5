using Overlay.PolicyEngine.Nftables;
using Overlay.Tests.PolicyEngine;

namespace Overlay.Tests.Kernel;

/// <summary>Every ruleset of the catalogue in a real kernel: what the netlink messages made is what was wanted, and what nft makes of the printed text.</summary>
public class RuleCatalogueKernelTests
{
    [TestCaseSource(typeof(RuleCatalogue), nameof(RuleCatalogue.Names))]
    public void Every_kind_of_rule_is_loaded_read_back_equal_and_listed_as_nft_would(string name)
    {
        var wanted = RuleCatalogue.All[name];
        using var ours = NftablesFixture.Create();
        ours.Table.Resync(wanted);
        Assert.That(ours.Table.Verify(wanted), Is.Empty);
        using var theirs = NftablesFixture.Create();
        theirs.Net.Run("nft -f -", NftText.Print(wanted));
        Assert.That(NftablesTableTests.Sorted(ours.Net.Run("nft -s list ruleset")), Is.EqualTo(NftablesTableTests.Sorted(theirs.Net.Run("nft -s list ruleset"))));
    }
}
