using System.Text;
using Overlay.CniShim.Protocol;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>What an attachment has in an <see cref="AllocationFolder"/>, told from names as far as they tell: a node has a file for every pod and family, and to open
/// them all would cost more than the rest of a call.</summary>
internal sealed class Allocations
{
    private readonly AllocationFolder folder;
    private readonly Attachment owner;
    private readonly Dictionary<ulong, string> empty = [];
    private readonly List<InetAddress> claimed = [];
    private readonly List<InetAddress> unclaimed = [];

    /// <summary>Looks; under the lock.</summary>
    /// <exception cref="IOException">The folder cannot be read.</exception>
    public Allocations(AllocationFolder folder, Attachment owner)
    {
        this.folder = folder;
        this.owner = owner;
        var claims = new HashSet<ulong>();
        var own = AllocationFolder.ClaimNameOf(owner);
        var ownInode = 0UL;
        DirectoryListing.Visit(folder.Claims, (name, inode) =>
        {
            if (name[0] == '.' || inode == 0) // a file system that does not tell: then each file is opened
                return;
            claims.Add(inode);
            var text = Encoding.UTF8.GetString(name);
            empty[inode] = text;
            if (text == own)
                ownInode = inode;
        });
        HasClaim = ownInode != 0;
        DirectoryListing.Visit(folder.Path, (name, inode) =>
        {
            var isClaimed = claims.Contains(inode);
            if (isClaimed)
                empty.Remove(inode);
            if (isClaimed && inode != ownInode)
                return;
            if (AllocationFolder.TryParse(name, out var address))
                (isClaimed ? claimed : unclaimed).Add(address);
        });
    }

    /// <summary>Whether the attachment has a claim, with addresses or without.</summary>
    public bool HasClaim { get; }

    /// <summary>Claims without an address, of anybody: left by an ADD that was killed, or by a program that only knows of the addresses.</summary>
    public IReadOnlyCollection<string> EmptyClaims => empty.Values;

    /// <summary>The addresses of the attachment. Opened are only those that its claim names, to be sure, and those that no claim names: other programs wrote them.</summary>
    public IReadOnlyList<InetAddress> Own
    {
        get
        {
            var others = unclaimed.Select(folder.Read).OfType<Reservation>().Where(reservation => reservation.ContainerId == owner.ContainerId).ToList();
            List<InetAddress> own =
            [
                .. claimed.Where(address => folder.Read(address) is { } reservation && (IsOwn(reservation) || reservation.ContainerId.Length == 0)), // a power cut can leave the name alone
                .. others.Where(IsOwn).Select(reservation => reservation.Address),
            ];

            // Files of very old versions name the container only; they count when nothing names the interface too.
            return own.Count > 0 ? own : [.. others.Where(reservation => reservation.IfName is null).Select(reservation => reservation.Address)];
        }
    }

    private bool IsOwn(Reservation reservation) => reservation.ContainerId == owner.ContainerId && reservation.IfName == owner.IfName;
}
