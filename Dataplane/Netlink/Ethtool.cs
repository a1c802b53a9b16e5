using System.Runtime.InteropServices;
using System.Text;

namespace Overlay.Dataplane.Netlink;

/// <summary>What ethtool(8) asks of a device and tells it, by ioctl(2) on any socket of the device's namespace (linux/ethtool.h).</summary>
internal static unsafe class Ethtool
{
    /// <summary>Whether the kernel leaves transport checksums of what is sent to the device (<c>ethtool -k DEV</c>, tx-checksumming); null when there is no such device, or it does not say.</summary>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public static bool? TxChecksum(NetlinkSocket socket, string device)
    {
        var value = new Libc.EthtoolValue { Command = Libc.ETHTOOL_GTXCSUM };
        return Ask(socket, device, &value) ? value.Value != 0 : null;
    }

    /// <summary>Leaves checksums to the device or not (<c>ethtool -K DEV tx on|off</c>). Without them the kernel does not segment for the device either.</summary>
    /// <exception cref="NetlinkException">The kernel refused.</exception>
    public static void SetTxChecksum(NetlinkSocket socket, string device, bool on)
    {
        var value = new Libc.EthtoolValue { Command = Libc.ETHTOOL_STXCSUM, Value = on ? 1u : 0u };
        if (!Ask(socket, device, &value))
            throw new NetlinkException(Errno.ENODEV, $"ethtool -K {device} tx {(on ? "on" : "off")}");
    }

    /// <summary>Name of the device's driver, such as <c>virtio_net</c> (<c>ethtool -i DEV</c>); null when there is no such device, or it does not say.</summary>
    /// <exception cref="NetlinkException">The kernel refused to tell.</exception>
    public static string? Driver(NetlinkSocket socket, string device)
    {
        var driver = new Libc.EthtoolDriver { Command = Libc.ETHTOOL_GDRVINFO };
        return Ask(socket, device, &driver) ? Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(driver.Driver)) : null;
    }

    private static bool Ask(NetlinkSocket socket, string device, void* argument)
    {
        var request = new Libc.Ifreq { Argument = argument };
        if (Encoding.UTF8.GetByteCount(device) >= Libc.IFNAMSIZ)
            return false;
        Encoding.UTF8.GetBytes(device, new Span<byte>(request.Name, Libc.IFNAMSIZ));
        if (socket.Ioctl(Libc.SIOCETHTOOL, ref request) == 0)
            return true;
        return Libc.LastErrno is Errno.ENODEV or Errno.EOPNOTSUPP ? false : throw new NetlinkException(Libc.LastErrno, $"SIOCETHTOOL {device}");
    }
}
