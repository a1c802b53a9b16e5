namespace Overlay.Dataplane.Probing;

/// <summary>How far packets come.</summary>
internal enum Reachability
{
    /// <summary>Not known yet.</summary>
    Unknown,

    /// <summary>Full-size packets come back.</summary>
    Reached,

    /// <summary>Small ones come back, and full-size ones do not.</summary>
    TooBig,

    /// <summary>The other node answers on the underlay, and nothing comes back through the tunnel.</summary>
    Closed,

    /// <summary>Nothing comes back at all.</summary>
    Silent,
}

/// <summary>Whether checksums that are left to a device are right when packets arrive.</summary>
internal enum Checksums
{
    /// <summary>Not known: nothing answers datagrams.</summary>
    Unknown,

    /// <summary>They are.</summary>
    Right,

    /// <summary>They are not: the same datagrams arrive when the kernel makes their checksum.</summary>
    Wrong,
}

/// <summary>What came of one try of a way.</summary>
/// <param name="Full">A full-size echo request was answered.</param>
/// <param name="Small">A small one was.</param>
/// <param name="Outer">One on the underlay was.</param>
/// <param name="Left">Datagrams were refused whose checksum was left to the device.</param>
/// <param name="Broken">How often only that datagram of the two was refused whose checksum the kernel had made.</param>
/// <param name="RoundTrip">Of the echo request that was answered.</param>
internal readonly record struct ProbeOutcome(bool Full, bool Small, bool Outer, bool Left, int Broken, TimeSpan RoundTrip)
{
    /// <summary>Packets come back, and datagrams told nothing.</summary>
    public static ProbeOutcome Reached(TimeSpan roundTrip) => new(Full: true, Small: true, Outer: true, Left: false, Broken: 0, roundTrip);
}

/// <summary>What is known of a way. Pure: each outcome makes the next finding of the last.</summary>
/// <param name="Target">The way.</param>
internal sealed record PeerFinding(ProbeTarget Target)
{
    // One lost packet is no news, and a node that was never seen may be starting.
    private const int MissesOfKnown = 2;
    private const int MissesOfNew = 3;

    // Where a third of all packets is lost, one of a million such rows is chance: a single datagram that arrives ends it.
    private const int BrokenInARow = 12;

    /// <summary>How far packets come.</summary>
    public Reachability Reachability { get; private init; }

    /// <summary>As last told; a node that answers no datagram tells nothing new.</summary>
    public Checksums Checksums { get; private init; }

    /// <summary>When an answer last came through; null: never.</summary>
    public DateTime? LastAnswer { get; private init; }

    /// <summary>Of that answer.</summary>
    public TimeSpan RoundTrip { get; private init; }

    /// <summary>Tries in a row without a full-size answer.</summary>
    public int Misses { get; private init; }

    /// <summary>Pairs of datagrams in a row of which only the one was refused whose checksum the kernel had made.</summary>
    public int Broken { get; private init; }

    /// <summary>Whether the last try leaves open what it means: to be tried again soon.</summary>
    public bool IsOpen => (Misses > 0 && Misses < Needed) || (Broken > 0 && Broken < BrokenInARow);

    private int Needed => Reachability == Reachability.Unknown ? MissesOfNew : MissesOfKnown;

    /// <summary>What is known after one more try.</summary>
    /// <param name="outcome">What came of it.</param>
    /// <param name="now">When (UTC).</param>
    public PeerFinding After(ProbeOutcome outcome, DateTime now)
    {
        var seen = outcome.Full || outcome.Small ? this with { LastAnswer = now, RoundTrip = outcome.RoundTrip } : this;
        var broken = outcome.Left ? 0 : Broken + outcome.Broken;
        seen = seen with { Broken = broken, Checksums = outcome.Left ? Checksums.Right : broken >= BrokenInARow ? Checksums.Wrong : Checksums };
        if (outcome.Full)
            return seen with { Reachability = Reachability.Reached, Misses = 0 };
        var misses = Misses + 1;
        var verdict = outcome.Small ? Reachability.TooBig : outcome.Outer ? Reachability.Closed : Reachability.Silent;
        return seen with { Misses = misses, Reachability = misses >= Needed ? verdict : Reachability };
    }

    /// <summary>What is wrong and what to do about it, one clear sentence; empty when nothing is.</summary>
    public string Problem => Reachability switch
    {
        Reachability.TooBig => $"answers small packets through {Target.Device}, and none of {Target.Mtu} bytes: something on the way takes less. Set mtu to what it takes, on all nodes, or raise what it takes.",
        Reachability.Closed when Target.Carrier.Length > 0 => $"does not answer through {Target.Device}, though it does at {Target.Outer}: a firewall between the nodes drops {Target.Carrier}, or no agent runs there. Let {Target.Carrier} pass both ways.",
        Reachability.Closed => $"does not answer at {Target.Address}, though it does at {Target.Outer}: a router or firewall between the nodes drops packets of the pod network, or no agent runs there.",
        Reachability.Silent when Target.Address == Target.Outer => $"does not answer an ICMP echo request at {Target.Outer}: it is down or cut off, or a firewall, or its icmp_echo_ignore_all, drops them.",
        Reachability.Silent => $"does not answer an ICMP echo request, neither through {Target.Device} nor at {Target.Outer}: it is down or cut off, or a firewall, or its icmp_echo_ignore_all, drops them.",
        _ => "",
    };
}
