using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Nftables;

/// <summary>Where a base chain is attached (nft(8) "hook"); values of <c>NF_INET_*</c> in linux/netfilter.h.</summary>
public enum Hook : byte
{
    /// <summary>Before routing.</summary>
    Prerouting = 0,

    /// <summary>To local processes.</summary>
    Input = 1,

    /// <summary>Routed through.</summary>
    Forward = 2,

    /// <summary>From local processes.</summary>
    Output = 3,

    /// <summary>After routing.</summary>
    Postrouting = 4,
}

/// <summary>nft(8) chain types.</summary>
public enum ChainType : byte
{
    /// <summary>Filters packets.</summary>
    Filter,

    /// <summary>Sees the first packet of a connection and translates addresses.</summary>
    Nat,
}

/// <summary>What makes a chain a base chain. Its policy is always accept: ours never judges traffic that is not ours.</summary>
/// <param name="Type">Chain type.</param>
/// <param name="Hook">Hook.</param>
/// <param name="Priority">Lower runs first: raw -300, dstnat -100, filter 0, srcnat 100.</param>
public readonly record struct BaseChain(ChainType Type, Hook Hook, int Priority);

/// <summary>A chain with all its rules: the unit that is compared and rewritten.</summary>
/// <param name="Name">At most 255 bytes of UTF-8.</param>
/// <param name="Base">Null for a chain that is only jumped to.</param>
/// <param name="Rules">In order.</param>
public sealed record Chain(string Name, BaseChain? Base, EquatableArray<Rule> Rules)
{
    /// <summary>Names of the sets and maps that its rules look up; a name may come more than once.</summary>
    public IEnumerable<string> Sets => Rules.SelectMany(rule => rule.Matches.Select(match => match switch
    {
        Match.AddressInSet m => m.Set,
        Match.AddressPairInSet m => m.Set,
        Match.AddressPortInSet m => m.Set,
        Match.PortInSet m => m.Set,
        _ => null,
    }).Concat(rule.Statements.Select(statement => statement switch
    {
        Statement.AddressVerdictMap s => s.Map,
        Statement.DestinationNat s => s.Map,
        _ => null,
    }))).OfType<string>();
}

/// <summary>A rule: when every match holds, the statements run in order.</summary>
/// <param name="Matches">All must hold.</param>
/// <param name="Statements">What to do; a rule with none only costs time and is refused by nft.</param>
/// <param name="Comment">For people, kept by the kernel in the rule's user data; at most 128 bytes; null for none.</param>
public sealed record Rule(EquatableArray<Match> Matches, EquatableArray<Statement> Statements, string? Comment = null);
