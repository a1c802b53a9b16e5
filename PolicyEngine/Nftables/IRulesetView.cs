namespace Overlay.PolicyEngine.Nftables;

/// <summary>A ruleset to look things up in, whoever keeps it: what a packet's walk needs.</summary>
public interface IRulesetView
{
    /// <summary>The base chains of a hook, in the order in which packets pass them (by priority).</summary>
    IReadOnlyList<Chain> BaseChains(Hook hook);

    /// <summary>A chain, or null when there is none of that name.</summary>
    Chain? FindChain(string name);

    /// <summary>A set or map, or null when there is none of that name.</summary>
    ISetView? FindSet(string name);
}

/// <summary>A set or map to look keys up in.</summary>
public interface ISetView
{
    /// <summary>The set.</summary>
    Set Set { get; }

    /// <summary>Its elements, in no particular order.</summary>
    IEnumerable<Element> Elements { get; }

    /// <summary>The element that holds <paramref name="key"/>, or null: a hash look-up, in sets of ranges a binary search.</summary>
    Element? Find(ElementKey key);
}
