using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// Writes a change of the ruleset as messages in an order in which every one finds what it refers to, and nothing that is deleted is referred to any
/// more. The order is all there is to it: the kernel commits the messages together, so no packet ever sees a state in between.
/// </summary>
internal static class NftablesTransaction
{
    private static readonly TableMessage Table = new(NftTableFlags.None);

    /// <summary>The change itself. Chains no longer wanted are only emptied (<see cref="WriteLeftovers"/>).</summary>
    internal static void Write(Batch batch, RulesetDelta delta, KnownRuleset known, bool withTable)
    {
        if (withTable)
            Table.WriteNew(batch);
        var created = delta.Sets.ToDictionary(set => set.Name);
        FlushChains(batch, delta, known);
        DeleteElements(batch, delta, known, created);
        foreach (var name in delta.DeletedSets)
            SetMessage.WriteDelete(batch, name);
        var id = 0u;
        foreach (var set in delta.Sets)
            SetMessage.Of(set).WriteNew(batch, set, ++id);
        foreach (var chain in delta.Chains)
            ChainMessage.Of(chain).WriteNew(batch);
        foreach (var group in delta.Elements.GroupBy(element => element.Set))
            SetElementMessage.WriteNew(batch, SetOf(group.Key, created, known), group.Select(element => element.Element));
        foreach (var chain in delta.Chains)
            foreach (var rule in chain.Rules)
                RuleMessage.Of(chain.Name, rule).WriteNew(batch, rule);
    }

    /// <summary>
    /// Deletes chains that an earlier transaction has emptied. They have one of their own because a kernel before 6.2 counts a chain as used in the
    /// transaction that deletes the last map element pointing at it, and would refuse it as a whole.
    /// </summary>
    internal static void WriteLeftovers(Batch batch, IEnumerable<string> chains)
    {
        foreach (var name in chains)
            ChainMessage.WriteDelete(batch, name);
    }

    private static void FlushChains(Batch batch, RulesetDelta delta, KnownRuleset known)
    {
        foreach (var name in delta.DeletedChains)
            if (known.HasChain(name))
                RuleMessage.WriteFlush(batch, name);
        foreach (var chain in delta.Chains)
            if (known.HasChain(chain.Name))
                RuleMessage.WriteFlush(batch, chain.Name);
        foreach (var chain in delta.Chains)
            if (known.HasOtherHook(chain))
                ChainMessage.WriteDelete(batch, chain.Name);
    }

    private static void DeleteElements(Batch batch, RulesetDelta delta, KnownRuleset known, Dictionary<string, Set> created)
    {
        if (delta.DeletedElements.Count == 0 && delta.Elements.Count == 0)
            return;
        var deletedSets = delta.DeletedSets.ToHashSet();
        var deleted = delta.DeletedElements.Concat(delta.Elements.Where(known.HasOther))
            .Where(element => !deletedSets.Contains(element.Set))
            .DistinctBy(element => (element.Set, element.Element.Key, element.Element.Last));
        foreach (var group in deleted.GroupBy(element => element.Set))
            SetElementMessage.WriteDelete(batch, SetOf(group.Key, created, known), group.Select(element => element.Element));
    }

    private static Set SetOf(string name, Dictionary<string, Set> created, KnownRuleset known) =>
        created.GetValueOrDefault(name) ?? known.FindSet(name)
        ?? throw new ArgumentException($"The delta has elements of set {name}, which neither the table nor the delta has.", nameof(created));
}
