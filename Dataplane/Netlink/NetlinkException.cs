namespace Overlay.Dataplane.Netlink;

/// <summary>One message of a batch that the kernel refused.</summary>
/// <param name="Sequence"><c>nlmsg_seq</c> of the refused message.</param>
/// <param name="Errno">Why.</param>
/// <param name="ExtendedAck">The kernel's own words, where it has any.</param>
/// <param name="AttributeOffset">Where in the refused message the offending attribute stands, from its <c>nlmsghdr</c>, in bytes.</param>
public sealed record NetlinkFailure(uint Sequence, Errno Errno, string? ExtendedAck, int? AttributeOffset)
{
    /// <summary>The failure as an exception about <paramref name="operation"/>, said in the words of ip(8) or nft(8).</summary>
    public NetlinkException ToException(string operation) => new(Errno, operation, ExtendedAck, AttributeOffset);
}

/// <summary>The kernel refused a request, or did not answer it: <c>RTM_NEWROUTE 10.42.1.0/24 via 10.42.1.0 dev 2: ENETUNREACH ("Nexthop has invalid gateway")</c>.</summary>
public sealed class NetlinkException(Errno errno, string operation, string? extendedAck = null, int? attributeOffset = null)
    : Exception($"{operation}: {errno}{(extendedAck is null ? "" : $" (\"{extendedAck}\")")}{(attributeOffset is null ? "" : $" at byte {attributeOffset}")}")
{
    /// <summary>Why.</summary>
    public Errno Errno { get; } = errno;

    /// <summary>What was asked of the kernel.</summary>
    public string Operation { get; } = operation;

    /// <summary>The kernel's own words (NLMSGERR_ATTR_MSG), where it has any.</summary>
    public string? ExtendedAck { get; } = extendedAck;

    /// <summary>Where in the refused message the offending attribute stands, in bytes (NLMSGERR_ATTR_OFFS).</summary>
    public int? AttributeOffset { get; } = attributeOffset;

    /// <summary>Whether the same request may succeed when it is repeated unchanged.</summary>
    public bool IsTransient => Errno is Errno.EINTR or Errno.EAGAIN or Errno.ENOBUFS or Errno.EBUSY or Errno.ETIMEDOUT;
}
