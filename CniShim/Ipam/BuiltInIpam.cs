using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>The built-in allocator: host-local's rules on host-local's files.</summary>
/// <param name="configuration">Ranges and folder.</param>
/// <param name="variables">For whom.</param>
/// <param name="args">What CNI_ARGS asks for.</param>
/// <param name="gcGrace">Younger addresses are safe from <see cref="Gc"/>.</param>
internal sealed class BuiltInIpam(NetworkConfiguration configuration, CniVariables variables, CniArgs args, TimeSpan gcGrace) : IIpam
{
    private const int TriesBeforeLooking = 4;

    private readonly Attachment owner = variables.Attachment;
    private readonly AllocationFolder folder = AllocationFolder.Of(configuration);
    private AllocationFolder.Claim? claim;
    private Possession? seen;

    /// <inheritdoc/>
    public IpamResult Add(Deadline deadline)
    {
        var sets = RangeSet.ReadAll(configuration);
        var asked = AskedFor();
        JsonElement? dns = configuration.Ipam.Text("resolvConf") is { Length: > 0 } resolvConf ? ResolvConf.Read(resolvConf) : null;
        using var locked = folder.Lock(deadline);
        var allocations = folder.AllocationsOf(owner);
        foreach (var left in allocations.EmptyClaims)
            AllocationFolder.Try([], () => folder.RemoveClaim(left)); // it reserves nothing
        var mine = allocations.Own;
        var addresses = new List<IpamAddress>();
        claim = folder.ClaimFor(owner);
        try
        {
            for (var number = 0; number < sets.Count; number++)
            {
                var wish = asked.Find(address => sets[number].RangeOf(address) is not null);
                asked.Remove(wish);
                var address = wish == default ? Next(claim, sets[number], number, mine) : Asked(claim, sets[number], number, wish);
                var range = sets[number].RangeOf(address)!;
                addresses.Add(new() { Address = new Cidr(address, range.Subnet.PrefixLength).ToString(), Gateway = range.Gateway.ToString() });
            }

            return asked.Count == 0
                ? new(addresses, dns)
                : throw new CniException(CniErrorCode.InvalidConfiguration, $"requested address {string.Join(", ", asked)} is not in range set {string.Join(" or ", sets)}");
        }
        catch
        {
            claim.Undo();
            throw;
        }
    }

    /// <inheritdoc/>
    public AgentRequest Describe(AgentRequest add) => folder.Path == AllocationFolder.OfConflist ? add : add with { AddressFolder = Path.GetFullPath(folder.Path) };

    /// <inheritdoc/>
    public void Persist()
    {
        try
        {
            claim?.Persist();
        }
        catch (IOException error)
        {
            throw new CniException(CniErrorCode.Io, error.Message);
        }
    }

    /// <inheritdoc/>
    public void Undo(Deadline deadline) => claim?.Undo();

    /// <inheritdoc/>
    public void Look()
    {
        // If it cannot be read, Del tells: the interface is to go all the same.
        AllocationFolder.Try([], () => seen = See());
    }

    /// <inheritdoc/>
    public void Del(Deadline deadline)
    {
        var own = seen ?? See();
        using var locked = LockForDel(own, deadline);
        if (locked is null)
            return;
        var allocations = folder.AllocationsOf(owner);
        var isAll = true;
        foreach (var address in allocations.Own)
        {
            if (!own.Addresses.TryGetValue(address, out var taken) || folder.TakenAt(address) != taken)
            {
                isAll = false;
                continue;
            }

            folder.Release(address);
            Fault.Pass(FaultPoint.ShimAddressReleased);
        }

        if (isAll && allocations.HasClaim)
            AllocationFolder.Try([], () => folder.RemoveClaim(AllocationFolder.ClaimNameOf(owner))); // it reserves nothing, and the next ADD removes it
    }

    /// <inheritdoc/>
    public void Check(IReadOnlyList<InetAddress> addresses, Deadline deadline)
    {
        using var locked = folder.TryLock(deadline);
        var own = folder.AllocationsOf(owner).Own;
        if (own.Count == 0)
            throw new CniException(CniErrorCode.CheckFailed, $"Failed to find address added by container {owner.ContainerId} in {folder.Path}");
        if (addresses.Where(address => !own.Contains(address)).ToArray() is { Length: > 0 } lost)
            throw new CniException(CniErrorCode.CheckFailed, $"{string.Join(", ", lost)} is not reserved for container {owner.ContainerId} interface {owner.IfName} in {folder.Path}");
    }

    /// <inheritdoc/>
    public void Gc(IReadOnlyList<Attachment> valid, Deadline deadline)
    {
        var attachments = valid.ToHashSet();
        var containers = valid.Select(attachment => attachment.ContainerId).ToHashSet();
        using var locked = folder.TryLock(deadline);
        if (locked is null)
            return;
        var youngest = DateTime.UtcNow - gcGrace;
        var failures = new List<IOException>();
        foreach (var (address, id, ifName) in folder.ReadAll(failures))
        {
            var used = ifName is null ? containers.Contains(id) : attachments.Contains(new(id, ifName));
            if (!used && folder.TakenAt(address) <= youngest)
                AllocationFolder.Try(failures, () => folder.Release(address));
        }

        foreach (var left in folder.AllocationsOf(owner).EmptyClaims)
            AllocationFolder.Try(failures, () => folder.RemoveClaim(left));
        if (failures.Count > 0)
            throw new CniException(CniErrorCode.Io, string.Join("; ", failures.Select(failure => failure.Message)));
    }

    /// <inheritdoc/>
    public void Status(Deadline deadline)
    {
        RangeSet.ReadAll(configuration);
        using var locked = folder.Lock(deadline);
        folder.Probe();
    }

    // Null when there is nothing to give back: to see that takes no lock, which another process may hold, or which cannot be made on a disk that is read-only or full.
    // For a claim alone nobody waits: it reserves nothing, and the next ADD removes it.
    private IDisposable? LockForDel(Possession own, Deadline deadline)
    {
        var hasAddresses = own.Addresses.Count > 0;
        if (!hasAddresses && !own.HasClaim)
            return null;
        try
        {
            return folder.TryLock(hasAddresses ? deadline : default);
        }
        catch (Exception error) when (!hasAddresses && error is IOException or CniException)
        {
            return null;
        }
    }

    private Possession See()
    {
        var allocations = folder.AllocationsOf(owner);
        return new(allocations.Own.ToDictionary(address => address, folder.TakenAt), allocations.HasClaim);
    }

    private InetAddress Next(AllocationFolder.Claim claim, RangeSet set, int number, IReadOnlyList<InetAddress> mine)
    {
        if (mine.Where(address => set.RangeOf(address) is not null).ToArray() is [var held, ..])
        {
            throw new CniException(CniErrorCode.Internal,
                $"failed to allocate for range {number}: {held} has been allocated to {owner.ContainerId}, duplicate allocation is not allowed");
        }

        // The address after the last one is nearly always free: to try it costs less than to look first.
        var taken = new HashSet<InetAddress>();
        while (RangeAllocator.Next(set, taken, folder.LastReserved(number)) is { } address)
        {
            if (claim.Take(address, number))
                return address;
            taken.Add(address);
            if (taken.Count == TriesBeforeLooking)
                taken.UnionWith(folder.Taken());
        }

        throw new CniException(CniErrorCode.RangeFull, $"failed to allocate for range {number}: no IP addresses available in range set: {set}",
            $"each is reserved by a file in {folder.Path}; give the node a larger podCIDR, or run CNI GC if pods are gone");
    }

    private static InetAddress Asked(AllocationFolder.Claim claim, RangeSet set, int number, InetAddress address)
    {
        if (set.RangeOf(address)!.Gateway == address)
            throw new CniException(CniErrorCode.InvalidConfiguration, $"failed to allocate for range {number}: requested ip {address} is subnet's gateway");
        return claim.Take(address, number)
            ? address
            : throw new CniException(CniErrorCode.RangeFull, $"failed to allocate for range {number}: requested IP address {address} is not available in range set {set}");
    }

    /// <summary>The addresses that the caller wants, from all three places where it can say so; a prefix length may follow each and means nothing.</summary>
    private List<InetAddress> AskedFor()
    {
        var asked = new List<InetAddress>();
        foreach (var text in args.IP.Concat(configuration.Args.Texts("ips")).Concat(configuration.RuntimeConfig.Texts("ips")))
        {
            var slash = text.IndexOf('/', StringComparison.Ordinal);
            if (!InetAddress.TryParse(slash < 0 ? text : text[..slash], out var address))
                throw new CniException(CniErrorCode.InvalidConfiguration, $"requested address \"{text}\" is not an IP address");
            if (!asked.Contains(address))
                asked.Add(address);
        }

        return asked;
    }

    // What the attachment has: its addresses, each with the time when it was taken, and whether there is a claim.
    private sealed record Possession(IReadOnlyDictionary<InetAddress, DateTime> Addresses, bool HasClaim);
}
