using Overlay.Dataplane.Doctor;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Doctor.Machine;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.Dataplane.Doctor;

/// <summary>What is said of what the kernel takes and refuses.</summary>
public class KernelCheckTests
{
    private static readonly KernelTry Veth = new("veth pairs", "veth", "", TryOutcome.Done, "");

    [TestCase("6.18.4", false)]
    [TestCase("5.6.0-1-amd64", false)]
    [TestCase("5.5.19", true)]
    [TestCase("4.18.0-553.el8_10.x86_64", true)]
    [TestCase("10.0+custom", false)]
    [TestCase("strange", false)]
    public void An_old_version_is_a_hint_and_no_more(string release, bool warned) =>
        Assert.That(Judge(new(release, null, [Veth]))[0].Severity, Is.EqualTo(warned ? Severity.Warn : Severity.Pass));

    [Test]
    public void A_part_that_is_absent_fails_with_its_module_and_package()
    {
        var finding = Judge(new("6.8.0-31-generic", null, [Veth, KernelTry.Of("ipip devices", "ipip", "", Errno.EOPNOTSUPP, "EOPNOTSUPP")]))[^1];
        Assert.That((finding.Severity, finding.What), Is.EqualTo((Severity.Fail, "the kernel does not take ipip devices (EOPNOTSUPP)")));
        Assert.That(finding.Remedy, Does.StartWith("Load ipip (modprobe ipip); for good").And.Contain("/etc/modules-load.d/overlay.conf").And.Contain("linux-modules-extra-6.8.0-31-generic").And.Contain("kernel-modules-extra"));
    }

    [Test]
    public void A_part_that_only_some_pods_need_warns_and_says_which()
    {
        var finding = Judge(new("6.8.0", null, [KernelTry.Of("u32 filters", "cls_u32 act_mirred", "pods with a bandwidth limit are refused", Errno.ENOENT, "ENOENT")]))[^1];
        Assert.That((finding.Severity, finding.What), Is.EqualTo((Severity.Warn, "the kernel does not take u32 filters (ENOENT); without it pods with a bandwidth limit are refused")));
        Assert.That(finding.Remedy, Does.Contain("modprobe -a cls_u32 act_mirred"));
    }

    [Test]
    public void Another_refusal_blames_no_module()
    {
        var finding = Judge(new("6.8.0", null, [KernelTry.Of("veth pairs", "veth", "", Errno.ENOMEM, "ENOMEM")]))[^1];
        Assert.That(finding.Severity, Is.EqualTo(Severity.Fail));
        Assert.That(finding.Remedy, Does.Not.Contain("modprobe"));
    }

    [Test]
    public void Without_rights_nothing_is_said_of_the_kernel()
    {
        Assert.That(Judge(new("6.8.0", "unshare(CLONE_NEWNET): EPERM", []))[1].Severity, Is.EqualTo(Severity.Warn));
        Assert.That(Judge(new("6.8.0", null, [KernelTry.Of("veth pairs", "veth", "", Errno.EPERM, "EPERM")]))[1].Severity, Is.EqualTo(Severity.Warn));
    }

    [TestCase(NftObjectKind.Table, "overlay", null, "nf_tables")]
    [TestCase(NftObjectKind.Chain, "postrouting", null, "nft_chain_nat")]
    [TestCase(NftObjectKind.Chain, "hostport-output", null, "nft_chain_nat")]
    [TestCase(NftObjectKind.Chain, "ingress", null, "nf_tables")]
    [TestCase(NftObjectKind.Rule, "prerouting", "iifname \"ovl*\" fib saddr . iif oif 0 counter drop", "nft_fib nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet")]
    [TestCase(NftObjectKind.Rule, "ingress", "ct state established,related accept", "nf_conntrack nft_ct")]
    [TestCase(NftObjectKind.Rule, "postrouting", "masquerade fully-random", "nft_masq")]
    [TestCase(NftObjectKind.Rule, "hostport", "dnat ip to meta l4proto . th dport map @hostport-v4", "nft_nat")]
    public void A_refused_part_of_a_ruleset_names_its_modules(NftObjectKind kind, string name, string? text, string modules)
    {
        var tries = KernelCheck.OfRuleset([new(kind, name, text, Errno.ENOENT, null)]).ToList();
        Assert.That(tries.Select(tried => (tried.Modules, tried.Outcome)), Is.EqualTo(new[] { (modules, TryOutcome.Absent) }));
    }

    // Each text above is one that our rulesets have: a rule that is written otherwise would blame the wrong module.
    [Test]
    public void The_sample_has_every_part_that_has_a_module_of_its_own()
    {
        var sample = KernelTries.Sample(new RulesetOptions());
        var modules = sample.Chains.Values.SelectMany(chain => chain.Rules.Select(rule => new NftablesFailure(NftObjectKind.Rule, chain.Name, NftText.Print(rule), Errno.ENOENT, null)))
            .Concat(sample.Chains.Values.Select(chain => new NftablesFailure(NftObjectKind.Chain, chain.Name, null, Errno.ENOENT, null)))
            .SelectMany(failure => KernelCheck.OfRuleset([failure])).Select(tried => tried.Modules).Distinct();
        Assert.That(modules, Is.EquivalentTo(new[] { "nf_tables", "nft_chain_nat", "nft_fib nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet", "nf_conntrack nft_ct", "nft_masq", "nft_nat" }));
    }

    [Test]
    public void What_follows_from_a_refused_chain_or_table_is_not_told()
    {
        NftablesFailure chain = new(NftObjectKind.Chain, "postrouting", null, Errno.EOPNOTSUPP, null);
        NftablesFailure rule = new(NftObjectKind.Rule, "postrouting", "masquerade fully-random", Errno.ENOENT, null);
        NftablesFailure fib = new(NftObjectKind.Rule, "prerouting", "fib saddr . iif oif 0 drop", Errno.ENOENT, null);
        Assert.That(KernelCheck.OfRuleset([chain, rule, fib]).Select(tried => tried.Modules), Is.EqualTo(new[] { "nft_chain_nat", "nft_fib nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet" }));
        Assert.That(KernelCheck.OfRuleset([new(NftObjectKind.Table, "overlay", null, Errno.EOPNOTSUPP, null), chain, rule]).Select(tried => tried.Modules), Is.EqualTo(new[] { "nf_tables" }));
    }

    private static List<Finding> Judge(KernelObservation kernel) => [.. KernelCheck.Judge(kernel)];
}
