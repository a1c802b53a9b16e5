using System.Net.Sockets;

namespace Overlay.Dataplane.Netlink;

/// <summary>The descriptor of a netlink socket and its receive buffer: datagrams out and, from the kernel only, in.</summary>
internal sealed unsafe class NetlinkEndpoint : INetlinkEndpoint
{
    // The kernel fills dump datagrams up to 32 kB; only a link with very many virtual functions needs more.
    private byte[] _buffer = new byte[64 * 1024];

    private NetlinkEndpoint(SafeSocketHandle handle, NetlinkProtocol protocol)
    {
        Handle = handle;
        Protocol = protocol;
    }

    /// <inheritdoc/>
    public SafeSocketHandle Handle { get; }

    /// <inheritdoc/>
    public NetlinkProtocol Protocol { get; }

    internal static NetlinkEndpoint Open(NetlinkProtocol protocol)
    {
        var descriptor = Libc.socket(Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC, (int)protocol);
        if (descriptor < 0)
            throw new NetlinkException(Libc.LastErrno, $"socket(AF_NETLINK, {protocol})");
        var endpoint = new NetlinkEndpoint(new SafeSocketHandle(descriptor, ownsHandle: true), protocol);
        try
        {
            if (Libc.bind(endpoint.Handle, new Libc.SockaddrNl { Family = Libc.AF_NETLINK }, sizeof(Libc.SockaddrNl)) < 0)
                throw new NetlinkException(Libc.LastErrno, $"bind {protocol}");
            endpoint.SetOption(NetlinkOption.NETLINK_CAP_ACK, 1);
            endpoint.SetOption(NetlinkOption.NETLINK_EXT_ACK, 1);
            endpoint.SetOption(NetlinkOption.NETLINK_GET_STRICT_CHK, 1);
            return endpoint;
        }
        catch
        {
            endpoint.Dispose();
            throw;
        }
    }

    internal void SetOption(NetlinkOption option, int value)
    {
        if (Libc.setsockopt(Handle, Libc.SOL_NETLINK, (int)option, &value, sizeof(int)) < 0)
            throw new NetlinkException(Libc.LastErrno, $"setsockopt {option}");
    }

    /// <inheritdoc/>
    public void SetReceiveBuffer(int bytes) => SetBuffer(Libc.SO_RCVBUFFORCE, Libc.SO_RCVBUF, bytes);

    /// <inheritdoc/>
    public void SetSendBuffer(int bytes) => SetBuffer(Libc.SO_SNDBUFFORCE, Libc.SO_SNDBUF, bytes);

    internal void SetReceiveTimeout(TimeSpan timeout)
    {
        // struct timeval { long tv_sec; long tv_usec; }
        var value = stackalloc nint[] { (nint)(timeout.Ticks / TimeSpan.TicksPerSecond), (nint)(timeout.Ticks % TimeSpan.TicksPerSecond / 10) };
        if (Libc.setsockopt(Handle, Libc.SOL_SOCKET, Libc.SO_RCVTIMEO, value, 2 * sizeof(nint)) < 0)
            throw new NetlinkException(Libc.LastErrno, "setsockopt SO_RCVTIMEO");
    }

    /// <inheritdoc/>
    public void Send(ReadOnlySpan<byte> datagram, string operation)
    {
        var raised = false;
        while (true)
        {
            nint sent;
            fixed (byte* bytes = datagram)
                sent = Libc.sendto(Handle, bytes, datagram.Length, 0, new Libc.SockaddrNl { Family = Libc.AF_NETLINK }, sizeof(Libc.SockaddrNl));
            if (sent == datagram.Length)
                return;
            var errno = Libc.LastErrno;
            if (errno == Errno.EMSGSIZE && !raised)
                SetSendBuffer(datagram.Length + 4096);
            else if (errno != Errno.EINTR)
                throw new NetlinkException(errno, operation);
            raised |= errno == Errno.EMSGSIZE;
        }
    }

    /// <inheritdoc/>
    public Errno Receive(bool wait, out ReadOnlyMemory<byte> datagram)
    {
        datagram = default;
        while (true)
        {
            nint length;
            var sender = default(Libc.SockaddrNl);
            var senderLength = sizeof(Libc.SockaddrNl);
            fixed (byte* bytes = _buffer)
                length = Libc.recvfrom(Handle, bytes, _buffer.Length, Libc.MSG_TRUNC | (wait ? 0 : Libc.MSG_DONTWAIT), ref sender, ref senderLength);
            if (length < 0 && Libc.LastErrno == Errno.EINTR)
                continue;
            if (length < 0)
                return Libc.LastErrno;
            if (sender.Pid != 0)
                continue; // Some process wrote to our port; only the kernel is believed.
            if (length > _buffer.Length)
            {
                _buffer = new byte[length];
                return Errno.EMSGSIZE;
            }
            datagram = _buffer.AsMemory(0, (int)length);
            return Errno.None;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Handle.Dispose();

    private void SetBuffer(int forced, int plain, int bytes)
    {
        // Past net.core.[rw]mem_max only with CAP_NET_ADMIN in the initial user namespace; without it, as much as is allowed.
        if (Libc.setsockopt(Handle, Libc.SOL_SOCKET, forced, &bytes, sizeof(int)) < 0 &&
            Libc.setsockopt(Handle, Libc.SOL_SOCKET, plain, &bytes, sizeof(int)) < 0)
            throw new NetlinkException(Libc.LastErrno, $"setsockopt SO_{(plain == Libc.SO_RCVBUF ? "RCVBUF" : "SNDBUF")} {bytes}");
    }
}
