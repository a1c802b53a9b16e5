using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Tests.Dataplane.Netlink.NftablesShapes;

namespace Overlay.Tests.Kernel;

public class NftablesFailureTests
{
    private static readonly Rule MissingSet = new([new Match.AddressInSet(Side.Saddr, Family.IPv4, "nowhere")], [new Statement.Final(Verdict.Accept)], "shop/web ingress[0]");

    [Test]
    public void A_rule_that_is_refused_is_named_with_its_chain_and_text_and_nothing_is_half_applied()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var before = kernel.Net.Run("nft list ruleset");
        var failure = Refused(kernel.Table, RulesetDelta.Empty with
        {
            Chains = [new("fine", null, []), new("bad", null, [MissingSet]), new("matches", null, [])],
            DeletedChains = ["empty-chain"],
            Sets = [new("new", [DataType.Ipv4Addr])],
            Elements = [new("hash-v4", V4("10.9.9.9"))],
        });
        Assert.That((failure.Kind, failure.Name, failure.Errno), Is.EqualTo((NftObjectKind.Rule, "bad", Errno.ENOENT)));
        Assert.That(failure.ToString(), Is.EqualTo("rule of chain bad \"ip saddr @nowhere accept comment \"shop/web ingress[0]\"\": ENOENT"));
        Assert.That(kernel.Net.Run("nft list ruleset"), Is.EqualTo(before));
    }

    [Test]
    public void After_a_refusal_the_rest_of_the_change_can_be_applied()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        Refused(kernel.Table, RulesetDelta.Empty with { Chains = [new("bad", null, [MissingSet]), new("fine", null, [])], DeletedChains = ["empty-chain"] });
        kernel.Table.Apply(RulesetDelta.Empty with { Chains = [new("fine", null, [])], DeletedChains = ["empty-chain"] });
        Assert.That(kernel.Table.Dump().Chains.Keys, Does.Contain("fine").And.Not.Contain("bad").And.Not.Contain("empty-chain"));
    }

    [Test]
    public void Each_of_several_refused_rules_is_named()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Empty);
        var exception = Assert.Throws<NftablesException>(() => kernel.Table.Apply(RulesetDelta.Empty with { Chains = [new("a", null, [MissingSet]), new("b", null, []), new("c", null, [MissingSet])] }))!;
        Assert.That(exception.Failures.Select(failure => failure.Name), Is.EqualTo(new[] { "a", "c" }));
        Assert.That(exception.IsTransient, Is.False);
        Assert.That(exception.Message, Does.StartWith("The kernel refused the nftables transaction and keeps what it had: rule of chain a "));
    }

    [Test]
    public void An_element_that_overlaps_another_is_named_with_its_set()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var failure = Refused(kernel.Table, RulesetDelta.Empty with { Elements = [new("interval-v4", Range("172.16.0.0", "172.16.0.255")), new("interval-v4", Range("10.1.0.0", "12.0.0.0"))] });
        Assert.That((failure.Kind, failure.Name), Is.EqualTo((NftObjectKind.Element, "interval-v4")));
        Assert.That(failure.Text, Is.EqualTo("10.1.0.0"), "the end of the range that the kernel points at");
    }

    [Test]
    public void An_element_that_is_not_there_cannot_be_deleted_and_is_named()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var failure = Refused(kernel.Table, RulesetDelta.Empty with { DeletedElements = [new("hash-v4", V4("10.42.0.1")), new("hash-v4", V4("10.9.9.9"))] });
        Assert.That(failure, Is.EqualTo(new NftablesFailure(NftObjectKind.Element, "hash-v4", "10.9.9.9", Errno.ENOENT, null)));
    }

    [Test]
    public void A_map_element_to_a_missing_chain_is_named()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var failure = Refused(kernel.Table, RulesetDelta.Empty with { Elements = [new("map-v4", V4("10.9.9.9", Verdict.Goto("nowhere")))] });
        Assert.That((failure.Kind, failure.Name, failure.Text, failure.Errno), Is.EqualTo((NftObjectKind.Element, "map-v4", "10.9.9.9 : goto nowhere", Errno.ENOENT)));
    }

    [Test]
    public void A_chain_with_a_name_that_is_too_long_is_named()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Empty);
        var name = new string('x', 256);
        var failure = Refused(kernel.Table, RulesetDelta.Empty with { Chains = [new(name, null, [])] });
        Assert.That((failure.Kind, failure.Name), Is.EqualTo((NftObjectKind.Chain, name)));
    }

    [Test]
    public void A_set_that_a_rule_still_uses_cannot_be_deleted_and_is_named()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        var failure = Refused(kernel.Table, RulesetDelta.Empty with { DeletedSets = ["hash-v4"] });
        Assert.That((failure.Kind, failure.Name, failure.Errno), Is.EqualTo((NftObjectKind.Set, "hash-v4", Errno.EBUSY)));
    }

    [Test]
    public void Chains_that_jump_in_a_circle_are_refused()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Empty);
        Chain To(string name, string target, BaseChain? hook = null) => new(name, hook, [new([], [new Statement.Final(Verdict.Jump(target))])]);
        var failure = Refused(kernel.Table, RulesetDelta.Empty with { Chains = [To("a", "b"), To("b", "a"), To("base", "a", new(ChainType.Filter, Hook.Forward, 0))] });
        Assert.That(failure.Errno, Is.EqualTo(Errno.ELOOP).Or.EqualTo(Errno.EMLINK));
        Assert.That(kernel.Table.Dump().Chains, Is.Empty);
    }

    [Test]
    public void A_change_to_a_table_that_somebody_deleted_fails_and_resync_repairs_it()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Shapes);
        kernel.Net.Run("nft delete table inet overlay");
        Refused(kernel.Table, RulesetDelta.Empty with { Elements = [new("hash-v4", V4("10.9.9.9"))] });
        kernel.Table.Resync(Shapes);
        Assert.That(kernel.Table.Verify(Shapes), Is.Empty);
    }

    [Test]
    public void Elements_of_a_set_that_nobody_knows_are_a_mistake_of_the_caller()
    {
        using var kernel = NftablesFixture.Create();
        kernel.Table.Resync(Rulesets.Empty);
        Assert.That(() => kernel.Table.Apply(RulesetDelta.Empty with { Elements = [new("nowhere", V4("10.9.9.9"))] }), Throws.ArgumentException.With.Message.Contains("nowhere"));
    }

    private static NftablesFailure Refused(NftablesTable table, RulesetDelta delta) =>
        Assert.Throws<NftablesException>(() => table.Apply(delta))!.Failures[0];
}
