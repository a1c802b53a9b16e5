using System.Net.Sockets;

namespace Overlay.Dataplane.Netlink;

/// <summary>Datagrams to the kernel and from it: where a test puts itself in between.</summary>
internal interface INetlinkEndpoint : IDisposable
{
    /// <summary>The descriptor.</summary>
    SafeSocketHandle Handle { get; }

    /// <summary>The family it speaks.</summary>
    NetlinkProtocol Protocol { get; }

    /// <summary>SO_RCVBUF.</summary>
    void SetReceiveBuffer(int bytes);

    /// <summary>SO_SNDBUF.</summary>
    void SetSendBuffer(int bytes);

    /// <summary>Sends one datagram, whatever its size.</summary>
    /// <exception cref="NetlinkException">The kernel took none of it.</exception>
    void Send(ReadOnlySpan<byte> datagram, string operation);

    /// <summary>
    /// One datagram, valid until the next call. EAGAIN: nothing there, or with <paramref name="wait"/> not within the timeout. ENOBUFS: the
    /// kernel had more for us than the receive buffer holds. EMSGSIZE: it was longer than the buffer here, which has grown now.
    /// </summary>
    Errno Receive(bool wait, out ReadOnlyMemory<byte> datagram);
}
