using System.Net.Sockets;

namespace Overlay.Dataplane.Netlink;

/// <summary>A netlink socket for the kernel's notifications of changes, whoever made them: <c>ip monitor</c>, <c>nft monitor</c>. Stays in the namespace it was opened in.</summary>
public sealed class NetlinkMonitor : IDisposable
{
    private readonly NetlinkEndpoint _endpoint;
    private readonly Socket _socket;

    private NetlinkMonitor(NetlinkEndpoint endpoint)
    {
        _endpoint = endpoint;
        _socket = new Socket(endpoint.Handle);
    }

    /// <summary>Opens a socket in the calling thread's namespace that hears what is sent to <paramref name="groups"/> from now on.</summary>
    /// <param name="protocol">The family.</param>
    /// <param name="groups">Numbers of multicast groups: RTNLGRP_* or NFNLGRP_*.</param>
    /// <exception cref="NetlinkException">The kernel has no such family or group.</exception>
    public static NetlinkMonitor Open(NetlinkProtocol protocol, params ReadOnlySpan<uint> groups)
    {
        var endpoint = NetlinkEndpoint.Open(protocol);
        try
        {
            endpoint.SetReceiveBuffer(1 << 20);
            foreach (var group in groups)
                endpoint.SetOption(NetlinkOption.NETLINK_ADD_MEMBERSHIP, (int)group);
            return new(endpoint);
        }
        catch
        {
            endpoint.Dispose();
            throw;
        }
    }

    /// <summary>The next notification: one or several messages for <see cref="NetlinkMessages"/>, valid until the next call. One call at a time.</summary>
    /// <exception cref="NetlinkException">ENOBUFS: the kernel had more than the buffer holds and dropped some; what is known must be read anew.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> ReceiveAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var errno = _endpoint.Receive(wait: false, out var datagram);
            switch (errno)
            {
                case Errno.None:
                    return datagram;
                case Errno.EAGAIN:
                    await WaitAsync(cancellation).ConfigureAwait(false);
                    break;
                case Errno.ENOBUFS or Errno.EMSGSIZE:
                    throw Lost();
                default:
                    throw new NetlinkException(errno, "netlink notifications");
            }
        }
    }

    /// <summary>Throws away what has come so far, and what was lost: for who is about to read anew what it tells of.</summary>
    public void Discard()
    {
        while (_endpoint.Receive(wait: false, out _) is Errno.None or Errno.ENOBUFS or Errno.EMSGSIZE)
        {
        }
    }

    /// <summary>Closes the socket.</summary>
    public void Dispose()
    {
        _socket.Dispose();
        _endpoint.Dispose();
    }

    // Reading nothing waits for something to be there and leaves it there.
    private async ValueTask WaitAsync(CancellationToken cancellation)
    {
        try
        {
            await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None, cancellation).ConfigureAwait(false);
        }
        catch (SocketException exception) when (exception.SocketErrorCode == SocketError.NoBufferSpaceAvailable)
        {
            throw Lost();
        }
    }

    // Until the queue is empty the kernel goes on dropping without saying so again; after that, what is read anew stays true.
    private NetlinkException Lost()
    {
        Discard();
        return new(Errno.ENOBUFS, "netlink notifications", "some were lost");
    }
}
