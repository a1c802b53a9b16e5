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
    private readonly Attachment owner = variables.Attachment;

    /// <inheritdoc/>
    public IpamResult Add(Deadline deadline)
    {
        var sets = RangeSet.ReadAll(configuration);
        var asked = AskedFor();
        var folder = AllocationFolder.Open(configuration);
        using var locked = folder.Lock(deadline);
        var reservations = folder.Read();
        var taken = reservations.Select(reservation => reservation.Address).ToHashSet();
        var mine = reservations.Where(IsOwn).Select(reservation => reservation.Address).ToArray();
        var given = new List<InetAddress>();
        var addresses = new List<IpamAddress>();
        using var claim = folder.ClaimFor(owner);
        try
        {
            for (var number = 0; number < sets.Count; number++)
            {
                var wish = asked.Find(address => sets[number].RangeOf(address) is not null);
                asked.Remove(wish);
                var address = wish == default ? Next(folder, claim, sets[number], number, taken, mine) : Asked(claim, sets[number], number, wish);
                given.Add(address);
                var range = sets[number].RangeOf(address)!;
                addresses.Add(new() { Address = new Cidr(address, range.Subnet.PrefixLength).ToString(), Gateway = range.Gateway.ToString() });
            }

            return asked.Count == 0
                ? new(addresses, null)
                : throw new CniException(CniErrorCode.InvalidConfiguration, $"requested address {string.Join(", ", asked)} is not in range set {string.Join(" or ", sets)}");
        }
        catch
        {
            given.ForEach(folder.Release);
            throw;
        }
    }

    /// <inheritdoc/>
    public void Undo(IpamResult given, Deadline deadline)
    {
        // each file is ours alone since we made it, so no lock is needed, and none can keep us from cleaning up
        var folder = AllocationFolder.Open(configuration);
        foreach (var address in given.Hosts)
        {
            folder.Release(address);
            Fault.Pass(FaultPoint.ShimAddressUndone);
        }
    }

    /// <inheritdoc/>
    public void Del(Deadline deadline)
    {
        var folder = AllocationFolder.Open(configuration);
        using var locked = folder.Lock(deadline);
        foreach (var reservation in Own(folder))
        {
            folder.Release(reservation.Address);
            Fault.Pass(FaultPoint.ShimAddressReleased);
        }

        folder.ForgetClaim(owner);
    }

    /// <inheritdoc/>
    public void Check(IReadOnlyList<InetAddress> addresses, Deadline deadline)
    {
        var folder = AllocationFolder.Open(configuration);
        using var locked = folder.Lock(deadline);
        var own = Own(folder).Select(reservation => reservation.Address).ToHashSet();
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
        var folder = AllocationFolder.Open(configuration);
        using var locked = folder.Lock(deadline);
        var youngest = DateTime.UtcNow - gcGrace;
        foreach (var (address, id, ifName) in folder.Read())
        {
            var used = ifName is null ? containers.Contains(id) : attachments.Contains(new(id, ifName));
            if (!used && folder.TakenAt(address) <= youngest)
                folder.Release(address);
        }
    }

    /// <inheritdoc/>
    public void Status(Deadline deadline)
    {
        RangeSet.ReadAll(configuration);
        AllocationFolder.Open(configuration).Lock(deadline).Dispose();
    }

    private bool IsOwn(Reservation reservation) => reservation.ContainerId == owner.ContainerId && reservation.IfName == owner.IfName;

    // Files of very old versions name the container only; they count when nothing names the interface too.
    private Reservation[] Own(AllocationFolder folder)
    {
        var reservations = folder.Read();
        var own = reservations.Where(IsOwn).ToArray();
        return own.Length > 0 ? own : [.. reservations.Where(reservation => reservation.IfName is null && reservation.ContainerId == owner.ContainerId)];
    }

    private InetAddress Next(AllocationFolder folder, AllocationFolder.Claim claim, RangeSet set, int number, HashSet<InetAddress> taken, InetAddress[] mine)
    {
        if (mine.Where(address => set.RangeOf(address) is not null).ToArray() is [var held, ..])
        {
            throw new CniException(CniErrorCode.Internal,
                $"failed to allocate for range {number}: {held} has been allocated to {owner.ContainerId}, duplicate allocation is not allowed");
        }

        while (RangeAllocator.Next(set, taken, folder.LastReserved(number)) is { } address)
        {
            if (claim.Take(address, number))
                return address;
            taken.Add(address); // by somebody who does not care for the lock
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
}
