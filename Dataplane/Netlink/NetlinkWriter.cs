using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Netlink;

/// <summary>Start of an open length, to be closed with the same writer.</summary>
/// <param name="Offset">Where the length stands.</param>
public readonly record struct NetlinkMark(int Offset);

/// <summary>
/// Appends netlink messages to a growing buffer. Numbers are of the host's byte order unless the name says otherwise (netlink(7));
/// every attribute starts at a multiple of 4. Several messages may follow each other: a batch is one buffer.
/// </summary>
public sealed class NetlinkWriter : IDisposable
{
    // struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type; __u16 nlmsg_flags; __u32 nlmsg_seq; __u32 nlmsg_pid; };
    private const int HeaderLength = 16;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(8192);

    /// <summary>Bytes written so far.</summary>
    public int Length { get; private set; }

    /// <summary>What was written; valid until the next write.</summary>
    public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, Length);

    /// <summary>What was written; valid until the next write.</summary>
    public ReadOnlyMemory<byte> WrittenMemory => _buffer.AsMemory(0, Length);

    /// <summary>Forgets everything written.</summary>
    public void Clear() => Length = 0;

    /// <summary>Opens a message: writes its <c>nlmsghdr</c> with the length left open.</summary>
    public NetlinkMark BeginMessage(ushort type, ushort flags, uint sequence)
    {
        var mark = new NetlinkMark(Length);
        var header = Reserve(HeaderLength);
        BitConverter.TryWriteBytes(header[4..], type);
        BitConverter.TryWriteBytes(header[6..], flags);
        BitConverter.TryWriteBytes(header[8..], sequence);
        return mark;
    }

    /// <summary>Closes the message: fills in <c>nlmsg_len</c>.</summary>
    public void EndMessage(NetlinkMark mark) => BitConverter.TryWriteBytes(_buffer.AsSpan(mark.Offset), (uint)(Length - mark.Offset));

    /// <summary>Adds flags to a message written before: that a message is the last of its batch is known only when no other follows.</summary>
    public void AddFlags(NetlinkMark message, ushort flags)
    {
        var present = _buffer.AsSpan(message.Offset + 6, 2);
        BitConverter.TryWriteBytes(present, (ushort)(BitConverter.ToUInt16(present) | flags));
    }

    /// <summary>Reserves zeroed bytes (padded to 4) for a fixed header such as <c>ifinfomsg</c>; valid until the next write.</summary>
    public Span<byte> Reserve(int length)
    {
        var padded = (length + 3) & ~3;
        if (_buffer.Length - Length < padded)
            Grow(padded);
        var span = _buffer.AsSpan(Length, padded);
        span.Clear();
        Length += padded;
        return span[..length];
    }

    /// <summary>An attribute with <paramref name="length"/> bytes of payload to be filled in by the caller at once.</summary>
    public Span<byte> Attribute(ushort type, int length)
    {
        // struct nlattr { __u16 nla_len; __u16 nla_type; };
        var span = Reserve(4 + length);
        BitConverter.TryWriteBytes(span, (ushort)(4 + length));
        BitConverter.TryWriteBytes(span[2..], type);
        return span[4..];
    }

    /// <summary>A flag attribute: no payload.</summary>
    public void Flag(ushort type) => Attribute(type, 0);

    /// <summary>Raw bytes.</summary>
    public void Bytes(ushort type, ReadOnlySpan<byte> value) => value.CopyTo(Attribute(type, value.Length));

    /// <summary>One byte.</summary>
    public void Byte(ushort type, byte value) => Attribute(type, 1)[0] = value;

    /// <summary>16 bits, host order.</summary>
    public void UInt16(ushort type, ushort value) => BitConverter.TryWriteBytes(Attribute(type, 2), value);

    /// <summary>16 bits, network order.</summary>
    public void UInt16BigEndian(ushort type, ushort value) => BinaryPrimitives.WriteUInt16BigEndian(Attribute(type, 2), value);

    /// <summary>32 bits, host order.</summary>
    public void UInt32(ushort type, uint value) => BitConverter.TryWriteBytes(Attribute(type, 4), value);

    /// <summary>32 bits, network order (all numbers of nf_tables).</summary>
    public void UInt32BigEndian(ushort type, uint value) => BinaryPrimitives.WriteUInt32BigEndian(Attribute(type, 4), value);

    /// <summary>64 bits, network order.</summary>
    public void UInt64BigEndian(ushort type, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(Attribute(type, 8), value);

    /// <summary>Text with its terminating zero (NLA_NUL_STRING).</summary>
    public void String(ushort type, string value)
    {
        var length = Encoding.UTF8.GetByteCount(value);
        Encoding.UTF8.GetBytes(value, Attribute(type, length + 1));
    }

    /// <summary>4 or 16 bytes of an address.</summary>
    public void Address(ushort type, InetAddress address) => address.WriteTo(Attribute(type, address.Length));

    /// <summary>Opens a nested attribute. Pass the type with NLA_F_NESTED (0x8000) where the kernel's tools do.</summary>
    public NetlinkMark BeginNest(ushort type)
    {
        var mark = new NetlinkMark(Length);
        Attribute(type, 0);
        return mark;
    }

    /// <summary>Closes a nested attribute.</summary>
    /// <exception cref="InvalidOperationException">The nest holds more than the 65,535 bytes that <c>nla_len</c> can say.</exception>
    public void EndNest(NetlinkMark mark)
    {
        var length = Length - mark.Offset;
        if (length > ushort.MaxValue)
            throw new InvalidOperationException($"A netlink nest of {length} bytes does not fit nla_len; split it over several messages.");
        BitConverter.TryWriteBytes(_buffer.AsSpan(mark.Offset), (ushort)length);
    }

    /// <summary>Bytes of payload in a nest that is still open; callers split before 65,535.</summary>
    public int NestLength(NetlinkMark mark) => Length - mark.Offset;

    /// <summary>Gives the buffer back.</summary>
    public void Dispose()
    {
        var buffer = Interlocked.Exchange(ref _buffer, []);
        if (buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(buffer);
        Length = 0;
    }

    private void Grow(int more)
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(_buffer.Length * 2, Length + more));
        Written.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = larger;
    }
}
