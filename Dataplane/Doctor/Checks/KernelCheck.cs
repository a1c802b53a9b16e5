using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>What came of asking the kernel for something.</summary>
internal enum TryOutcome
{
    /// <summary>It did it.</summary>
    Done,

    /// <summary>It has no part for that, built in or as a module.</summary>
    Absent,

    /// <summary>It does not let us.</summary>
    Forbidden,

    /// <summary>It refused for another reason.</summary>
    Refused,
}

/// <summary>Something that the kernel was asked for in a network namespace to be thrown away.</summary>
/// <param name="What">What was asked for: <c>vxlan devices</c>.</param>
/// <param name="Modules">The modules that have it, as modprobe(8) names them, separated by blanks; empty when it is a choice of the kernel's build.</param>
/// <param name="Without">What does not work without it, when the rest does; empty when nothing does.</param>
/// <param name="Outcome">What came of it.</param>
/// <param name="Reason">The kernel's words; empty when it did it.</param>
internal sealed record KernelTry(string What, string Modules, string Without, TryOutcome Outcome, string Reason)
{
    /// <summary>What came of it, by the kernel's answer.</summary>
    public static KernelTry Of(string what, string modules, string without, Errno errno, string reason) => new(what, modules, without, errno switch
    {
        Errno.None => TryOutcome.Done,
        Errno.EOPNOTSUPP or Errno.ENOENT or Errno.EPROTONOSUPPORT or Errno.EAFNOSUPPORT or Errno.ENOPROTOOPT => TryOutcome.Absent,
        Errno.EPERM or Errno.EACCES => TryOutcome.Forbidden,
        _ => TryOutcome.Refused,
    }, reason);
}

/// <summary>What is known of the kernel.</summary>
/// <param name="Release">As <c>uname -r</c>.</param>
/// <param name="Untried">Why nothing could be asked for; null when it was.</param>
/// <param name="Tries">What was asked for.</param>
internal sealed record KernelObservation(string Release, string? Untried, IReadOnlyList<KernelTry> Tries);

/// <summary>Whether the kernel takes what the agent will ask of it. Its version is a hint only: distributions give old kernels new parts, and leave others out.</summary>
internal static class KernelCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "kernel";

    // Of all that a ruleset needs, sets of concatenations with ranges (ports of policies) came last; NAT in the family inet in 5.2.
    private static readonly Version Oldest = new(5, 6);

    private static readonly HashSet<string> NatChains = BaseChains.Chains(new()).Concat(HostPorts.Chains).Where(chain => chain.Base?.Type == ChainType.Nat).Select(chain => chain.Name).ToHashSet(StringComparer.Ordinal);

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(KernelObservation kernel)
    {
        yield return OfRelease(kernel.Release);
        if (kernel.Untried is { } reason)
        {
            yield return Finding.Warn(Name, $"what it can do was not tried: {reason}", "Run this as root (sudo overlay doctor): it makes a network namespace to be thrown away.");
            yield break;
        }

        var done = kernel.Tries.Where(tried => tried.Outcome == TryOutcome.Done).Select(tried => tried.What).ToList();
        if (done.Count > 0)
            yield return Finding.Pass(Name, $"takes {string.Join(", ", done)}");
        foreach (var tried in kernel.Tries.Where(tried => tried.Outcome != TryOutcome.Done))
            yield return OfFailure(tried, kernel.Release);
    }

    /// <summary>What the kernel was asked for by a ruleset that it refused: the first of its parts, for what comes after may follow from it, and others that follow from nothing. Pure.</summary>
    public static IEnumerable<KernelTry> OfRuleset(IReadOnlyList<NftablesFailure> failures)
    {
        var tables = failures.Where(failure => failure.Kind == NftObjectKind.Table).Take(1).ToList();
        var chains = failures.Where(failure => failure.Kind == NftObjectKind.Chain).Select(failure => failure.Name).ToHashSet(StringComparer.Ordinal);
        var causes = tables.Count > 0 ? tables : failures.Where(failure => failure.Kind != NftObjectKind.Rule || !chains.Contains(failure.Name));
        return causes.Select(failure => KernelTry.Of("", ModulesOf(failure), "", failure.Errno, failure.ToString()))
            .DistinctBy(tried => tried.Modules)
            .Select(tried => tried with { What = $"the ruleset ({tried.Modules.Replace(" ", ", ", StringComparison.Ordinal)})" });
    }

    private static string ModulesOf(NftablesFailure failure) => failure switch
    {
        { Kind: NftObjectKind.Chain, Name: var name } when NatChains.Contains(name) => "nft_chain_nat",
        { Kind: NftObjectKind.Rule, Text: { } rule } when rule.Contains("fib ", StringComparison.Ordinal) => "nft_fib nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet",
        { Kind: NftObjectKind.Rule, Text: { } rule } when rule.Contains("masquerade", StringComparison.Ordinal) => "nft_masq",
        { Kind: NftObjectKind.Rule, Text: { } rule } when rule.Contains("dnat ", StringComparison.Ordinal) => "nft_nat",
        { Kind: NftObjectKind.Rule, Text: { } rule } when rule.Contains("ct ", StringComparison.Ordinal) => "nf_conntrack nft_ct",
        _ => "nf_tables",
    };

    private static Finding OfRelease(string release)
    {
        var digits = string.Join('.', release.Split('.', '-', '+').Take(2));
        return Version.TryParse(digits, out var version) && version < Oldest
            ? Finding.Warn(Name, $"Linux {release} is older than {Oldest}, which has all that a ruleset needs", "Your distribution may have added it; what was tried says. Else take a newer kernel.")
            : Finding.Pass(Name, $"Linux {release}");
    }

    private static Finding OfFailure(KernelTry tried, string release)
    {
        if (tried.Outcome == TryOutcome.Forbidden)
            return Finding.Warn(Name, $"{tried.What}: not tried: {tried.Reason}", "Run this as root (sudo overlay doctor), with CAP_NET_ADMIN and CAP_SYS_ADMIN in a container.");
        var severity = tried.Without.Length > 0 ? Severity.Warn : Severity.Fail;
        var what = $"the kernel does not take {tried.What} ({tried.Reason}){(tried.Without.Length > 0 ? $"; without it {tried.Without}" : "")}";
        return new(Name, severity, what, (tried.Outcome, tried.Modules) switch
        {
            (TryOutcome.Absent, "") => "Take a kernel that is built with it.",
            (TryOutcome.Absent, var modules) => $"Load {modules} (modprobe {(modules.Contains(' ', StringComparison.Ordinal) ? "-a " : "")}{modules}); for good, name {(modules.Contains(' ', StringComparison.Ordinal) ? "each" : "it")} on a line of /etc/modules-load.d/overlay.conf. "
                + $"Where there is no such module, install the package that has it (Ubuntu: linux-modules-extra-{release}; RHEL and its kin: kernel-modules-extra), or take another kernel.",
            _ => "Look for the kernel's own words in its log (dmesg).",
        });
    }
}
