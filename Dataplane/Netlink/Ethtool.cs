using System.Text;

namespace Overlay.Dataplane.Netlink;

/// <summary>What ethtool(8) asks of a device and tells it, by ioctl(2) on any socket of the device's namespace (linux/ethtool.h).</summary>
public static unsafe class Ethtool
{
    private const uint ETHTOOL_GDRVINFO = 0x03;
    private const uint ETHTOOL_GTXCSUM = 0x16;
    private const uint ETHTOOL_STXCSUM = 0x17;

    // struct ethtool_drvinfo: cmd, then char driver[32], version[32], …, 196 bytes in all.
    private const int DriverOffset = 4;
    private const int DriverLength = 32;
    private const int DrvinfoLength = 196;

    /// <summary>Whether the kernel leaves transport checksums of what is sent to the device (<c>ethtool -k DEV</c>, tx-checksumming); null when there is no such device.</summary>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public static bool? TxChecksum(NetlinkSocket socket, string device)
    {
        var value = stackalloc uint[] { ETHTOOL_GTXCSUM, 0 };
        return Ask(socket, device, value) ? value[1] != 0 : null;
    }

    /// <summary>Leaves checksums to the device or not (<c>ethtool -K DEV tx on|off</c>). Without them the kernel does not segment for the device either.</summary>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public static void SetTxChecksum(NetlinkSocket socket, string device, bool on)
    {
        var value = stackalloc uint[] { ETHTOOL_STXCSUM, on ? 1u : 0u };
        if (!Ask(socket, device, value))
            throw new NetlinkException(Errno.ENODEV, $"ethtool -K {device} tx {(on ? "on" : "off")}");
    }

    /// <summary>Name of the device's driver, such as <c>virtio_net</c>; null when there is no such device, or it has none.</summary>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public static string? Driver(NetlinkSocket socket, string device)
    {
        var value = stackalloc byte[DrvinfoLength];
        *(uint*)value = ETHTOOL_GDRVINFO;
        if (!Ask(socket, device, value))
            return null;
        var name = new ReadOnlySpan<byte>(value + DriverOffset, DriverLength);
        var length = name.IndexOf((byte)0);
        return length is 0 ? null : Encoding.ASCII.GetString(length < 0 ? name : name[..length]);
    }

    // struct ifreq: the name, and a union that begins with a pointer. Returns whether there is such a device.
    private static bool Ask(NetlinkSocket socket, string device, void* value)
    {
        const int NameLength = 16;
        var request = stackalloc byte[NameLength + 24];
        if (Encoding.ASCII.GetBytes(device, new Span<byte>(request, NameLength - 1)) == 0)
            return false;
        *(void**)(request + NameLength) = value;
        if (socket.Ioctl(Libc.SIOCETHTOOL, request) == 0)
            return true;
        return Libc.LastErrno is Errno.ENODEV or Errno.EOPNOTSUPP ? false : throw new NetlinkException(Libc.LastErrno, $"SIOCETHTOOL {device}");
    }
}
