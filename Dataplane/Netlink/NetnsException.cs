namespace Overlay.Dataplane.Netlink;

/// <summary>What is wrong with a path that should name a network namespace.</summary>
public enum NetnsFault
{
    /// <summary>Nothing is there, or no longer.</summary>
    Absent,

    /// <summary>Something is there that is no network namespace.</summary>
    NotANamespace,

    /// <summary>It is the namespace this process lives in.</summary>
    Own,

    /// <summary>The kernel refused; the message has its errno.</summary>
    Refused,
}

/// <summary>A network namespace cannot be used.</summary>
public sealed class NetnsException(NetnsFault fault, string message) : Exception(message)
{
    /// <summary>What is wrong.</summary>
    public NetnsFault Fault { get; } = fault;
}
