using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>A rule that a packet met and matched.</summary>
/// <param name="Chain">The chain.</param>
/// <param name="Index">The rule's place in it, from 0.</param>
public readonly record struct TraceStep(Chain Chain, int Index)
{
    /// <summary>The rule.</summary>
    public Rule Rule => Chain.Rules[Index];

    /// <summary><c>chain[index] comment</c>.</summary>
    public override string ToString() => $"{Chain.Name}[{Index}] {Rule.Comment}".TrimEnd();
}

/// <summary>Where a packet's walk ended.</summary>
/// <param name="Accepted">Whether every hook let it pass.</param>
/// <param name="Masqueraded">Whether its source address was replaced.</param>
/// <param name="Path">The rules that matched, in order. The last one of a packet that was dropped dropped it.</param>
public sealed record Trace(bool Accepted, bool Masqueraded, IReadOnlyList<TraceStep> Path)
{
    /// <summary>The verdict and, a line each, the path.</summary>
    public override string ToString() => $"{(Accepted ? "accepted" : "dropped")}{(Masqueraded ? ", masqueraded" : "")} by\n    {string.Join("\n    ", Path)}";
}
