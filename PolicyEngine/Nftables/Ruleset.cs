using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Nftables;

/// <summary>The whole content of our one table, as data: what the kernel should hold, or was found to hold.</summary>
/// <param name="Chains">By name.</param>
/// <param name="Sets">Sets and maps by name.</param>
/// <param name="Elements">Elements by the name of their set; a set without elements may be missing.</param>
public sealed record Ruleset(
    IReadOnlyDictionary<string, Chain> Chains,
    IReadOnlyDictionary<string, Set> Sets,
    IReadOnlyDictionary<string, IReadOnlyCollection<Element>> Elements)
{
    /// <summary>Family and name of the table that is ours; everything in it is ours and nothing outside it is.</summary>
    public const string Table = "overlay";
}

/// <summary>An element and the set it is in.</summary>
/// <param name="Set">Name of the set or map.</param>
/// <param name="Element">The element.</param>
public readonly record struct SetElement(string Set, Element Element);

/// <summary>The change from one <see cref="Ruleset"/> to the next. Applied in one transaction, so the order of its parts carries no meaning.</summary>
/// <param name="Chains">Chains that are new or have other rules.</param>
/// <param name="DeletedChains">Names of chains no longer wanted.</param>
/// <param name="Sets">Sets and maps that are new. A set's type never changes under its name.</param>
/// <param name="DeletedSets">Names no longer wanted, with all their elements (which are not listed again).</param>
/// <param name="Elements">Elements to add; in a map also one whose verdict changed.</param>
/// <param name="DeletedElements">Elements to remove.</param>
public sealed record RulesetDelta(
    EquatableArray<Chain> Chains,
    EquatableArray<string> DeletedChains,
    EquatableArray<Set> Sets,
    EquatableArray<string> DeletedSets,
    EquatableArray<SetElement> Elements,
    EquatableArray<SetElement> DeletedElements)
{
    /// <summary>Nothing to do.</summary>
    public static RulesetDelta Empty { get; } = new([], [], [], [], [], []);

    /// <summary>Whether there is nothing to do.</summary>
    public bool IsEmpty => this == Empty;
}
