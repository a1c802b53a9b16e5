using System.Net.Sockets;
using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

/// <summary>A netlink endpoint of the real kernel, at which a test does something in the middle: just before a datagram goes out, or just after one has come in.</summary>
internal sealed class TappedEndpoint(NetlinkEndpoint inner) : INetlinkEndpoint
{
    /// <summary>Takes the type of the first message of what is about to be sent.</summary>
    public Action<ushort>? Sending { get; set; }

    /// <summary>Called when something has been received.</summary>
    public Action? Received { get; set; }

    public SafeSocketHandle Handle => inner.Handle;

    public NetlinkProtocol Protocol => inner.Protocol;

    /// <summary>The endpoint itself, to be set up.</summary>
    public NetlinkEndpoint Inner => inner;

    public static TappedEndpoint Open(NetnsFixture net, NetlinkProtocol protocol)
    {
        var endpoint = net.Netns.Run(() => NetlinkEndpoint.Open(protocol));
        endpoint.SetReceiveTimeout(TimeSpan.FromSeconds(10));
        return new(endpoint);
    }

    public void SetReceiveBuffer(int bytes) => inner.SetReceiveBuffer(bytes);

    public void SetSendBuffer(int bytes) => inner.SetSendBuffer(bytes);

    public void Send(ReadOnlySpan<byte> datagram, string operation)
    {
        Sending?.Invoke(BitConverter.ToUInt16(datagram[4..]));
        inner.Send(datagram, operation);
    }

    public Errno Receive(bool wait, out ReadOnlyMemory<byte> datagram)
    {
        var errno = inner.Receive(wait, out datagram);
        if (errno == Errno.None)
            Received?.Invoke();
        return errno;
    }

    public void Dispose() => inner.Dispose();
}
