using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Nftables;

/// <summary>Conntrack states as a bit mask; values of <c>NF_CT_STATE_BIT</c> in linux/netfilter/nf_conntrack_common.h.</summary>
[Flags]
public enum CtState : byte
{
    /// <summary>No valid connection.</summary>
    Invalid = 1,

    /// <summary>Packets were seen in both directions, or this is one.</summary>
    Established = 2,

    /// <summary>Belongs to another connection, such as an ICMP error.</summary>
    Related = 4,

    /// <summary>First packet of a connection.</summary>
    New = 8,

    /// <summary>Somebody has it not tracked; <c>NF_CT_STATE_UNTRACKED_BIT</c>.</summary>
    Untracked = 64,
}

/// <summary>Which address of the packet.</summary>
public enum Side : byte
{
    /// <summary>Source address (<c>saddr</c>).</summary>
    Saddr,

    /// <summary>Destination address (<c>daddr</c>).</summary>
    Daddr,
}

/// <summary>A condition of a rule. A closed family: printing (<see cref="NftText"/>), lowering to kernel expressions and the packet tracer (<c>Explain/</c>) each switch over all of it.</summary>
public abstract record Match
{
    private Match()
    {
    }

    /// <summary><c>ct state established,related</c>: the connection's state is one of <paramref name="States"/>.</summary>
    public sealed record ConnectionState(CtState States) : Match;

    /// <summary><c>iifname "ovl*"</c>. A trailing <c>*</c> matches any rest; no other wildcard.</summary>
    public sealed record InputInterface(string Name, bool Negated = false) : Match;

    /// <summary><c>oifname "ovl*"</c>. A trailing <c>*</c> matches any rest; no other wildcard.</summary>
    public sealed record OutputInterface(string Name, bool Negated = false) : Match;

    /// <summary><c>ip saddr @set</c> or <c>ip6 daddr != @set</c>; the packet is of the set's family.</summary>
    public sealed record AddressInSet(Side Side, Family Family, string Set, bool Negated = false) : Match;

    /// <summary><c>ip saddr 10.42.0.0/16</c>; the packet is of the prefix's family. Length 0 prints and lowers as <c>meta nfproto ipv4</c> (or <c>ipv6</c>): only the family counts.</summary>
    public sealed record AddressInPrefix(Side Side, Cidr Prefix, bool Negated = false) : Match;

    /// <summary><c>ip saddr . ip daddr @set</c>.</summary>
    public sealed record AddressPairInSet(Family Family, string Set) : Match;

    /// <summary><c>ip daddr . meta l4proto . th dport @set</c>: key (address, protocol, destination port).</summary>
    public sealed record AddressPortInSet(Side Side, Family Family, string Set) : Match;

    /// <summary><c>tcp dport 80</c>, <c>udp dport 1000-2000</c>; 0-65535 prints and lowers as <c>meta l4proto tcp</c> alone.</summary>
    public sealed record DestinationPort(IpProtocol Protocol, ushort First, ushort Last) : Match;

    /// <summary><c>meta l4proto . th dport @set</c>: key (protocol, destination port).</summary>
    public sealed record PortInSet(string Set) : Match;

    /// <summary><c>meta l4proto N</c> for any IP protocol number.</summary>
    public sealed record L4Protocol(byte Protocol) : Match;

    /// <summary><c>icmpv6 type 133-137</c> (inclusive range); the packet is ICMPv6.</summary>
    public sealed record Icmpv6Type(byte First, byte Last) : Match;

    /// <summary><c>meta mark &amp; MASK == VALUE</c>.</summary>
    public sealed record Mark(uint Mask, uint Value) : Match;

    /// <summary><c>ct mark &amp; MASK == VALUE</c>; a packet without a connection does not match.</summary>
    public sealed record ConnectionMark(uint Mask, uint Value) : Match;

    /// <summary><c>fib saddr . iif oif 0</c>: the route back to the source does not leave by the interface the packet came in by (a spoofed source). Prerouting only.</summary>
    public sealed record SourceNotRoutedBack : Match;

    /// <summary><c>fib saddr type local</c>: the address is one of this node, on whichever device.</summary>
    /// <param name="Side">Source or destination.</param>
    public sealed record AddressIsLocal(Side Side) : Match;
}

/// <summary>What a rule does. A closed family.</summary>
public abstract record Statement
{
    private Statement()
    {
    }

    /// <summary><c>accept</c>, <c>drop</c>, <c>jump c</c> ….</summary>
    public sealed record Final(Verdict Verdict) : Statement;

    /// <summary><c>ip saddr vmap @map</c>: the verdict found under the packet's address; no entry or another family: the next rule.</summary>
    public sealed record AddressVerdictMap(Side Side, Family Family, string Map) : Statement;

    /// <summary><c>counter</c>: packets and bytes.</summary>
    public sealed record Counter : Statement;

    /// <summary>
    /// <c>notrack</c>: connection tracking passes this packet over, and so do the chains of type nat; to <c>ct state</c> it is untracked. Without effect on a packet whose connection is known already.
    /// In chains before connection tracking only (priority below <c>NF_IP_PRI_CONNTRACK</c>, -200).
    /// </summary>
    public sealed record Notrack : Statement;

    /// <summary><c>masquerade fully-random</c>. In nat postrouting only.</summary>
    public sealed record Masquerade : Statement;

    /// <summary>
    /// <c>dnat ip to meta l4proto . th dport map @map</c>, or <c>dnat ip to ip daddr . meta l4proto . th dport map @map</c> when <paramref name="ByAddress"/>: the destination becomes the
    /// endpoint found under (protocol, port), or (address, protocol, port); no entry or another family: the next rule. In nat prerouting and output only.
    /// </summary>
    public sealed record DestinationNat(Family Family, bool ByAddress, string Map) : Statement;
}

/// <summary>nft(8) verdicts.</summary>
public enum VerdictKind : byte
{
    /// <summary>The packet passes this hook; later base chains of the hook still see it.</summary>
    Accept,

    /// <summary>The packet is gone.</summary>
    Drop,

    /// <summary>Back to the caller's next rule; at the end of a base chain: its policy.</summary>
    Return,

    /// <summary>On with the next rule.</summary>
    Continue,

    /// <summary>Into a chain, and back here after it.</summary>
    Jump,

    /// <summary>Into a chain, and after it back to this chain's caller.</summary>
    Goto,
}

/// <summary>A verdict; <paramref name="Chain"/> is set for Jump and Goto and null otherwise.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Chain">Target chain of the same table.</param>
public readonly record struct Verdict(VerdictKind Kind, string? Chain = null)
{
    /// <summary><c>accept</c>.</summary>
    public static Verdict Accept => new(VerdictKind.Accept);

    /// <summary><c>drop</c>.</summary>
    public static Verdict Drop => new(VerdictKind.Drop);

    /// <summary><c>return</c>.</summary>
    public static Verdict Return => new(VerdictKind.Return);

    /// <summary><c>jump CHAIN</c>.</summary>
    public static Verdict Jump(string chain) => new(VerdictKind.Jump, chain);

    /// <summary><c>goto CHAIN</c>.</summary>
    public static Verdict Goto(string chain) => new(VerdictKind.Goto, chain);

    /// <summary>As nft(8) prints it.</summary>
    public override string ToString() => Chain is null ? Kind.ToString().ToLowerInvariant() : $"{Kind.ToString().ToLowerInvariant()} {Chain}";
}
