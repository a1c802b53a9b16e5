using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace Overlay.Dataplane.Netlink;

/// <summary>What a device's driver says of itself, as ethtool(8) shows it. Reads only. In the calling thread's network namespace.</summary>
internal sealed unsafe class Ethtool : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);

    /// <summary>The driver's name, null when it does not say. Equivalent to: <c>ethtool -i DEV</c>.</summary>
    public string? Driver(string device)
    {
        var request = new Libc.EthtoolDriver { Command = Libc.ETHTOOL_GDRVINFO };
        return Ask(device, &request) ? Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(request.Driver)) : null;
    }

    /// <summary>Whether the device computes the checksums of what it sends, null when it does not say. Equivalent to: <c>ethtool -k DEV</c>, its tx-checksumming.</summary>
    public bool? ComputesChecksums(string device)
    {
        var request = new Libc.EthtoolValue { Command = Libc.ETHTOOL_GTXCSUM };
        return Ask(device, &request) ? request.Value != 0 : null;
    }

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    private bool Ask(string device, void* argument)
    {
        var request = new Libc.Ifreq { Argument = argument };
        if (Encoding.UTF8.GetByteCount(device) >= Libc.IFNAMSIZ)
            return false;
        Encoding.UTF8.GetBytes(device, new Span<byte>(request.Name, Libc.IFNAMSIZ));
        return Libc.ioctl(_socket.SafeHandle, Libc.SIOCETHTOOL, ref request) == 0;
    }
}
