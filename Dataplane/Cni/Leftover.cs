using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cni;

/// <summary>Something of ours that nobody will ever ask us to remove.</summary>
/// <param name="What">Which, for people.</param>
/// <param name="Why">Why it may go, for people.</param>
internal abstract record Leftover(string What, string Why)
{
    /// <summary>Every <see cref="Kind"/>.</summary>
    public static readonly IReadOnlyList<string> Kinds = ["attachment", "interface", "address", "file"];

    /// <summary>What kind of thing, as the metric's label has it.</summary>
    public abstract string Kind { get; }

    /// <summary>An attachment, with its file, its policy and its status.</summary>
    public sealed record OfAttachment(Attachment Attachment, string Why) : Leftover($"the attachment of pod {Attachment.Pod} (container {Attachment.ContainerId})", Why)
    {
        /// <inheritdoc/>
        public override string Kind => "attachment";
    }

    /// <summary>The host's end of a pair, or what shapes the packets of one that is gone.</summary>
    public sealed record OfInterface(string Name, string Why) : Leftover($"interface {Name}", Why)
    {
        /// <inheritdoc/>
        public override string Kind => "interface";
    }

    /// <summary>A reserved address.</summary>
    public sealed record OfAddress(AddressFile File, string Why) : Leftover($"address {File.Address}", Why)
    {
        /// <inheritdoc/>
        public override string Kind => "address";
    }

    /// <summary>Addresses that another plugin gave, of an attachment that is no more.</summary>
    public sealed record OfDelegation(Attachment Attachment, string Why) : Leftover($"what the IPAM plugin of network {Attachment.Network} gave to container {Attachment.ContainerId}: {string.Join(' ', Attachment.Addresses)}", Why)
    {
        /// <inheritdoc/>
        public override string Kind => "address";
    }

    /// <summary>What a container's addresses were taken by.</summary>
    public sealed record OfClaim(ClaimFile File, string Why) : Leftover(File.Path, Why)
    {
        /// <inheritdoc/>
        public override string Kind => "file";
    }

    /// <summary>A file that was to be renamed.</summary>
    public sealed record OfFile(string Path, string Why) : Leftover(Path, Why)
    {
        /// <inheritdoc/>
        public override string Kind => "file";
    }
}

/// <summary>A file that its writer was to rename.</summary>
/// <param name="Path">Where it is.</param>
/// <param name="Written">When (UTC).</param>
internal readonly record struct TemporaryFile(string Path, DateTime Written);

/// <summary>All that the reaper judges by: what is on this node at one moment.</summary>
internal sealed record NodeSight
{
    /// <summary>Younger files may belong to an ADD or a DEL that is under way: longer than any plugin lives.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromMinutes(2);

    /// <summary>What is wired.</summary>
    public IReadOnlyCollection<Attachment> Attachments { get; init; } = [];

    /// <summary>Host's ends of pairs, by their prefix.</summary>
    public IReadOnlyCollection<string> Interfaces { get; init; } = [];

    /// <summary>Names of the devices that shape pods' packets, seen before <see cref="Interfaces"/>.</summary>
    public IReadOnlyCollection<string> Shapers { get; init; } = [];

    /// <summary>Those of the pairs that were there when the agent started and of which it may know nothing: its folder is new to this boot, or holds files that cannot be read.</summary>
    public IReadOnlySet<string> Strangers { get; init; } = new HashSet<string>();

    /// <summary>Paths in <see cref="Attachments"/> where a pod's namespace is.</summary>
    public IReadOnlySet<string> Namespaces { get; init; } = new HashSet<string>();

    /// <summary>Attachments that are no more, and whose addresses another plugin still has to take back.</summary>
    public IReadOnlyList<Attachment> Orphans { get; init; } = [];

    /// <summary>Addresses given away in our networks.</summary>
    public IReadOnlyList<AddressFile> Addresses { get; init; } = [];

    /// <summary>Claims of our networks.</summary>
    public IReadOnlyList<ClaimFile> Claims { get; init; } = [];

    /// <summary>Files that were to be renamed.</summary>
    public IReadOnlyList<TemporaryFile> Temporaries { get; init; } = [];

    /// <summary>The moment (UTC).</summary>
    public DateTime Now { get; init; }

    /// <summary>What may go, and why; pure. An address that some namespace still has is for the caller to keep.</summary>
    public IReadOnlyList<Leftover> Leftovers()
    {
        var interfaces = Interfaces.ToHashSet(StringComparer.Ordinal);
        List<Leftover> leftovers =
        [
            .. Attachments.Where(attachment => !interfaces.Contains(attachment.HostInterface) && !Namespaces.Contains(attachment.NetnsPath))
                .Select(attachment => new Leftover.OfAttachment(attachment, $"its interface {attachment.HostInterface} and its namespace {attachment.NetnsPath} are gone")),
        ];
        var wired = Attachments.Except(leftovers.OfType<Leftover.OfAttachment>().Select(leftover => leftover.Attachment)).ToList();
        var known = wired.Select(attachment => attachment.HostInterface).ToHashSet(StringComparer.Ordinal);
        var orphans = interfaces.Where(name => !known.Contains(name) && !Strangers.Contains(name)).Order(StringComparer.Ordinal).ToList();
        leftovers.AddRange(orphans.Select(name => new Leftover.OfInterface(name, "no attachment has it")));
        leftovers.AddRange(Shapers.Where(name => !interfaces.Contains(Ownership.PodInterfaceOf(name))).Order(StringComparer.Ordinal).Select(name => new Leftover.OfInterface(name, "its pair is gone")));

        interfaces.ExceptWith(orphans);
        var present = Attachments.Select(attachment => attachment.Key).ToHashSet(); // with those that go: while they cannot, their addresses are theirs
        leftovers.AddRange(Orphans.Where(orphan => !present.Contains(orphan.Key)).Select(orphan => new Leftover.OfDelegation(orphan, NotWired(orphan.ContainerId, orphan.IfName))));
        var keys = wired.Select(attachment => attachment.Key).ToHashSet();
        var containers = wired.Select(attachment => attachment.ContainerId).ToHashSet(StringComparer.Ordinal);
        leftovers.AddRange(Addresses.Where(file => IsOld(file.Written)).Select(Judge).OfType<Leftover>());
        leftovers.AddRange(Claims.Where(claim => IsOld(claim.Written) && !IsWired(claim.ContainerId, claim.IfName)).Select(claim => new Leftover.OfClaim(claim, NotWired(claim.ContainerId, claim.IfName))));
        leftovers.AddRange(Temporaries.Where(file => IsOld(file.Written)).Select(file => new Leftover.OfFile(file.Path, "its writer died before it renamed it")));
        return leftovers;

        Leftover? Judge(AddressFile file) => file switch
        {
            { ContainerId: "" } => new Leftover.OfAddress(file, "its file names no container"),
            { IfName: "" } => containers.Contains(file.ContainerId) ? null : new Leftover.OfAddress(file, $"container {file.ContainerId} is not wired"),
            _ => IsWired(file.ContainerId, file.IfName) ? null : new Leftover.OfAddress(file, NotWired(file.ContainerId, file.IfName)),
        };

        bool IsWired(string containerId, string ifName) => keys.Contains(new(containerId, ifName)) || interfaces.Contains(Ownership.PodInterface(containerId, ifName));
    }

    private static string NotWired(string containerId, string ifName) => $"interface {ifName} of container {containerId} is not wired";

    // A time to come is no sign of youth: the clock was set back.
    private bool IsOld(DateTime written) => (Now - written).Duration() >= Grace;
}
