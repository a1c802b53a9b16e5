using System.Buffers.Binary;
using System.Net;
using Microsoft.Win32.SafeHandles;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Capture;

/// <summary>Why nothing can be captured: one clear sentence.</summary>
internal sealed class CaptureException(string message) : Exception(message);

/// <summary>Sees every packet of one device (packet(7)), copies of which wait here until they are taken. It stays in the network namespace it was opened in.</summary>
internal sealed unsafe class PacketSocket : IDisposable
{
    private const int Room = 16 << 20; // bytes that may wait
    private const int LinkAddressRoom = 8; // what a pcap record has room for

    private readonly SafeFileHandle _handle;
    private readonly int _index;
    private readonly byte[] _buffer;
    private long _seen;
    private long _dropped;

    private PacketSocket(string device, int index, SafeFileHandle handle, int snapLength) => (Device, _index, _handle, _buffer) = (device, index, handle, new byte[snapLength]);

    /// <summary>The device's name.</summary>
    public string Device { get; }

    /// <summary>For poll(2).</summary>
    public int Descriptor => (int)_handle.DangerousGetHandle();

    /// <summary>Whether the device still is what it was when this was opened.</summary>
    public bool IsDeviceThere => Libc.if_nametoindex(Device) == _index;

    /// <summary>Packets that passed so far, and those of them that found no room here.</summary>
    public (long Seen, long Dropped) Statistics
    {
        get
        {
            Libc.TpacketStats since;
            var length = sizeof(Libc.TpacketStats);
            if (Libc.getsockopt(_handle, Libc.SOL_PACKET, Libc.PACKET_STATISTICS, &since, ref length) == 0)
                (_seen, _dropped) = (_seen + since.Packets, _dropped + since.Drops);
            return (_seen, _dropped);
        }
    }

    /// <summary>Whether there is such a device.</summary>
    public static bool Exists(string device) => Libc.if_nametoindex(device) != 0;

    /// <summary>Opens one.</summary>
    /// <param name="device">Its name.</param>
    /// <param name="snapLength">No more of a packet is copied, bytes.</param>
    /// <exception cref="CaptureException">There is no such device, or no right to.</exception>
    public static PacketSocket Open(string device, int snapLength)
    {
        var index = (int)Libc.if_nametoindex(device);
        if (index == 0)
            throw new CaptureException($"There is no device {device} here; 'ip link' lists those there are.");

        // Protocol 0: nothing comes before it is bound, or what passes other devices would.
        var descriptor = Libc.socket(Libc.AF_PACKET, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0);
        if (descriptor < 0)
            throw Refused("socket(AF_PACKET)");
        var socket = new PacketSocket(device, index, new(descriptor, ownsHandle: true), snapLength);
        try
        {
            // Of both the latter may fail: then less may wait, and the time is that of taking.
            if (!socket.Set(Libc.SOL_SOCKET, Libc.SO_RCVBUFFORCE, Room))
                socket.Set(Libc.SOL_SOCKET, Libc.SO_RCVBUF, Room);
            socket.Set(Libc.SOL_SOCKET, Libc.SO_TIMESTAMPNS_NEW, 1);
            var address = new Libc.SockaddrLl { Family = Libc.AF_PACKET, Protocol = (ushort)IPAddress.HostToNetworkOrder((short)Libc.ETH_P_ALL), Index = index };
            return Libc.bind(socket._handle, address, sizeof(Libc.SockaddrLl)) < 0 ? throw Refused($"bind to {device}") : socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The next packet; null when none waits.</summary>
    /// <exception cref="CaptureException">The kernel gives no more.</exception>
    public Frame? Receive()
    {
        var address = default(Libc.SockaddrLl);
        var control = stackalloc byte[64];
        fixed (byte* bytes = _buffer)
        {
            var vector = new Libc.Iovec { Base = bytes, Length = (nuint)_buffer.Length };
            var message = new Libc.Msghdr { Name = &address, NameLength = (uint)sizeof(Libc.SockaddrLl), Vectors = &vector, VectorCount = 1, Control = control, ControlLength = 64 };
            var length = Libc.recvmsg(_handle, &message, Libc.MSG_DONTWAIT | Libc.MSG_TRUNC);
            if (length < 0)
            {
                // ENETDOWN: the device went down or away, which is told once.
                return Libc.LastErrno is Errno.EAGAIN or Errno.EINTR or Errno.ENETDOWN ? null : throw new CaptureException($"Receiving from {Device}: {Libc.LastErrno}.");
            }

            var sender = new ReadOnlySpan<byte>(address.Address, Math.Min((int)address.AddressLength, LinkAddressRoom)).ToArray();
            var packet = _buffer.AsSpan(0, Math.Min((int)length, _buffer.Length)).ToArray();
            return new(TimeOf(new(control, (int)message.ControlLength)), Device, address.Index, address.HardwareType, address.PacketType, BinaryPrimitives.ReverseEndianness(address.Protocol), sender, packet, (int)length);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    // struct cmsghdr is a size_t and two ints; of struct __kernel_timespec both members have 64 bits. Processors that Overlay runs on are little-endian.
    private static long TimeOf(ReadOnlySpan<byte> control)
    {
        var header = sizeof(nuint) + (2 * sizeof(int));
        if (control.Length < header + 16 || BinaryPrimitives.ReadInt32LittleEndian(control[(header - 4)..]) != Libc.SO_TIMESTAMPNS_NEW)
            return (DateTime.UtcNow - DateTime.UnixEpoch).Ticks * TimeSpan.NanosecondsPerTick;
        return (BinaryPrimitives.ReadInt64LittleEndian(control[header..]) * 1_000_000_000) + BinaryPrimitives.ReadInt64LittleEndian(control[(header + 8)..]);
    }

    private bool Set(int level, int name, int value) => Libc.setsockopt(_handle, level, name, &value, sizeof(int)) == 0;

    private static CaptureException Refused(string operation) => new(Libc.LastErrno is Errno.EPERM or Errno.EACCES
        ? "No right to see packets: run this as root (sudo), or give it CAP_NET_RAW."
        : $"{operation}: {Libc.LastErrno}.");
}
