namespace Overlay.Dataplane.Operator;

/// <summary>How the live kernel differs from what it should be.</summary>
/// <param name="Node">The node.</param>
/// <param name="Differences">One line each.</param>
/// <param name="Checked">What was compared.</param>
/// <param name="Policies">How the kernel's ruleset differs from the policies; null when that was not asked.</param>
internal sealed record Verification(string Node, IReadOnlyList<string> Differences, CheckedRows Checked, PolicyVerification? Policies)
{
    /// <summary>Whether nothing differs.</summary>
    public bool Agrees => Differences.Count == 0 && Policies is null or { Disagreeing: 0 };
}

/// <summary>How many wanted objects were compared. Forwarding, which is none, always is.</summary>
/// <param name="Chains">nftables chains.</param>
/// <param name="Rules">Rules in them.</param>
/// <param name="Sets">Sets and maps.</param>
/// <param name="Elements">Elements of them.</param>
/// <param name="Rows">Links, addresses, neighbours, forwarding entries and routes.</param>
internal sealed record CheckedRows(int Chains, int Rules, int Sets, int Elements, int Rows);

/// <summary>The kernel's ruleset, read back, against the policies.</summary>
/// <param name="Classes">Classes of packets that were judged.</param>
/// <param name="Disagreeing">Those on which the two disagree.</param>
/// <param name="Examples">The first of these: a packet, and what each says.</param>
internal sealed record PolicyVerification(long Classes, long Disagreeing, IReadOnlyList<string> Examples);
