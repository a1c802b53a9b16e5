using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Netlink;

/// <content>Packet sockets: packet(7).</content>
internal static unsafe partial class Libc
{
    internal const int AF_PACKET = 17;
    internal const int SOCK_DGRAM = 2;
    internal const int SO_TIMESTAMPNS_NEW = 64;
    internal const int SOL_PACKET = 263;
    internal const int PACKET_STATISTICS = 6;
    internal const byte PACKET_OUTGOING = 4;
    internal const ushort ETH_P_ALL = 3;
    internal const short POLLERR = 8;
    internal const short POLLHUP = 16;
    internal const short POLLNVAL = 32;

    /// <summary><c>struct sockaddr_ll</c> (linux/if_packet.h), and room for longer addresses of devices.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct SockaddrLl
    {
        internal ushort Family;
        internal ushort Protocol; // in network byte order
        internal int Index;
        internal ushort HardwareType;
        internal byte PacketType;
        internal byte AddressLength;
        internal fixed byte Address[32];
    }

    /// <summary><c>struct tpacket_stats</c> (linux/if_packet.h): since they were last read.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct TpacketStats
    {
        internal uint Packets; // the dropped ones included
        internal uint Drops;
    }

    /// <summary><c>struct iovec</c> (readv(2)).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Iovec
    {
        internal byte* Base;
        internal nuint Length;
    }

    /// <summary><c>struct msghdr</c> (recvmsg(2)).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Msghdr
    {
        internal SockaddrLl* Name;
        internal uint NameLength;
        internal Iovec* Vectors;
        internal nuint VectorCount;
        internal byte* Control;
        internal nuint ControlLength;
        internal int Flags;
    }

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int bind(SafeHandle socket, in SockaddrLl address, int length);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint recvmsg(SafeHandle socket, Msghdr* message, int flags);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int getsockopt(SafeHandle socket, int level, int name, void* value, ref int length);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial uint if_nametoindex(string name);
}
