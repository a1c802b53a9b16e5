using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>One thing of a transaction that the kernel refused.</summary>
/// <param name="Kind">Kind of object; <see cref="NftObjectKind.Table"/> when the kernel refused the transaction as a whole.</param>
/// <param name="Name">Name of the chain or set; for a rule its chain's, for an element its set's.</param>
/// <param name="Text">The rule or element as nft(8) writes it; null for the others, or when the kernel does not say which element.</param>
/// <param name="Errno">Why.</param>
/// <param name="ExtendedAck">The kernel's own words, where it has any.</param>
public sealed record NftablesFailure(NftObjectKind Kind, string Name, string? Text, Errno Errno, string? ExtendedAck)
{
    /// <summary><c>rule of chain policy-1-shop/web-in "ip saddr @peer-v4 accept": ENOENT ("…")</c>.</summary>
    public override string ToString()
    {
        var what = Kind switch
        {
            NftObjectKind.Rule => $"rule of chain {Name}",
            NftObjectKind.Element => $"element of set {Name}",
            NftObjectKind.Table => $"table inet {Name}",
            _ => $"{Kind.ToString().ToLowerInvariant()} {Name}",
        };
        return $"{what}{(Text is null ? "" : $" \"{Text}\"")}: {Errno}{(ExtendedAck is null ? "" : $" (\"{ExtendedAck}\")")}";
    }

    internal static NftablesFailure Of(BatchFailure failure) =>
        new(failure.Subject.Kind, failure.Subject.Name, TextOf(failure), failure.Failure.Errno, failure.Failure.ExtendedAck);

    private static string? TextOf(BatchFailure failure) => failure.Subject switch
    {
        { Kind: NftObjectKind.Rule, Model: Rule rule } => NftText.Print(rule),
        { Kind: NftObjectKind.Element, Model: Set set } when SetElementMessage.ReadElement(failure.Attribute.Span) is { } element => NftText.Print(set, element),
        _ => null,
    };
}

/// <summary>The kernel refused a transaction, so that nothing of it has taken effect.</summary>
/// <param name="failures">What it refused, in the order of the transaction: the first is the cause, those after it may follow from it.</param>
public sealed class NftablesException(IReadOnlyList<NftablesFailure> failures)
    : Exception($"The kernel refused the nftables transaction and keeps what it had: {string.Join("; ", failures.Take(3))}{(failures.Count > 3 ? $" and {failures.Count - 3} more" : "")}.")
{
    /// <summary>What was refused; at least one.</summary>
    public IReadOnlyList<NftablesFailure> Failures { get; } = failures;

    /// <summary>Whether the same transaction may succeed when it is repeated unchanged.</summary>
    public bool IsTransient => Failures.All(failure => failure.Errno is Errno.EINTR or Errno.EAGAIN or Errno.ENOBUFS or Errno.EBUSY or Errno.ERESTART);
}
