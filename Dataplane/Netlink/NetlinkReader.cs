using System.Buffers.Binary;
using System.Text;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Netlink;

/// <summary>Bytes from the kernel that are not well-formed netlink.</summary>
public sealed class NetlinkFormatException(string message) : Exception(message);

/// <summary>One message of a received buffer: its header's fields and its payload.</summary>
public readonly ref struct NetlinkMessage
{
    internal NetlinkMessage(ushort type, ushort flags, uint sequence, ReadOnlySpan<byte> payload)
    {
        Type = type;
        Flags = flags;
        Sequence = sequence;
        Payload = payload;
    }

    /// <summary>nlmsg_type.</summary>
    public ushort Type { get; }

    /// <summary>nlmsg_flags.</summary>
    public ushort Flags { get; }

    /// <summary>nlmsg_seq.</summary>
    public uint Sequence { get; }

    /// <summary>Everything after the header.</summary>
    public ReadOnlySpan<byte> Payload { get; }

    /// <summary>The family's own header, such as <c>ifinfomsg</c> or <c>nfgenmsg</c>, with which the payload begins.</summary>
    /// <param name="length">Its size in bytes, a multiple of 4.</param>
    /// <exception cref="NetlinkFormatException">The message is shorter.</exception>
    public ReadOnlySpan<byte> Header(int length) => Payload.Length >= length
        ? Payload[..length]
        : throw new NetlinkFormatException($"Message {Type} has {Payload.Length} bytes where a header of {length} was expected.");

    /// <summary>The attributes behind a header of <paramref name="length"/> bytes.</summary>
    /// <exception cref="NetlinkFormatException">The message is shorter.</exception>
    public NetlinkAttributes AttributesAfter(int length) => new(Payload[Header(length).Length..]);
}

/// <summary>Walks the messages of a received buffer.</summary>
public ref struct NetlinkMessages(ReadOnlySpan<byte> buffer)
{
    private ReadOnlySpan<byte> _rest = buffer;

    /// <summary>The message <see cref="MoveNext"/> found.</summary>
    public NetlinkMessage Current { get; private set; }

    /// <summary>For <c>foreach</c>.</summary>
    public readonly NetlinkMessages GetEnumerator() => this;

    /// <summary>The next message, if any.</summary>
    /// <exception cref="NetlinkFormatException">A length that does not fit.</exception>
    public bool MoveNext()
    {
        if (_rest.Length < 16)
            return _rest.IsEmpty ? false : throw new NetlinkFormatException($"{_rest.Length} bytes left are no netlink header.");
        var length = BitConverter.ToUInt32(_rest);
        if (length < 16 || length > _rest.Length)
            throw new NetlinkFormatException($"nlmsg_len {length} does not fit the {_rest.Length} bytes received.");
        Current = new(BitConverter.ToUInt16(_rest[4..]), BitConverter.ToUInt16(_rest[6..]), BitConverter.ToUInt32(_rest[8..]), _rest[16..(int)length]);
        _rest = _rest[Math.Min((int)((length + 3) & ~3u), _rest.Length)..];
        return true;
    }
}

/// <summary>Walks attributes (<c>nlattr</c>) in a payload. Unknown ones are for the caller to skip.</summary>
public ref struct NetlinkAttributes(ReadOnlySpan<byte> payload)
{
    private ReadOnlySpan<byte> _rest = payload;

    /// <summary>The attribute <see cref="MoveNext"/> found.</summary>
    public NetlinkAttribute Current { get; private set; }

    /// <summary>For <c>foreach</c>.</summary>
    public readonly NetlinkAttributes GetEnumerator() => this;

    /// <summary>The next attribute, if any.</summary>
    /// <exception cref="NetlinkFormatException">A length that does not fit.</exception>
    public bool MoveNext()
    {
        if (_rest.Length < 4)
            return false;
        var length = BitConverter.ToUInt16(_rest);
        if (length < 4 || length > _rest.Length)
            throw new NetlinkFormatException($"nla_len {length} does not fit the {_rest.Length} bytes left.");
        Current = new((ushort)(BitConverter.ToUInt16(_rest[2..]) & 0x3fff), _rest[4..length]);
        _rest = _rest[Math.Min((length + 3) & ~3, _rest.Length)..];
        return true;
    }
}

/// <summary>One attribute: its type without the NLA_F_* flags, and its payload read as this or that.</summary>
public readonly ref struct NetlinkAttribute(ushort type, ReadOnlySpan<byte> value)
{
    /// <summary>nla_type without NLA_F_NESTED and NLA_F_NET_BYTEORDER.</summary>
    public ushort Type { get; } = type;

    /// <summary>The payload.</summary>
    public ReadOnlySpan<byte> Value { get; } = value;

    /// <summary>The payload as attributes.</summary>
    public NetlinkAttributes Nested => new(Value);

    /// <summary>One byte.</summary>
    public byte Byte => Expect(1)[0];

    /// <summary>16 bits, host order.</summary>
    public ushort UInt16 => BitConverter.ToUInt16(Expect(2));

    /// <summary>16 bits, network order.</summary>
    public ushort UInt16BigEndian => BinaryPrimitives.ReadUInt16BigEndian(Expect(2));

    /// <summary>32 bits, host order.</summary>
    public uint UInt32 => BitConverter.ToUInt32(Expect(4));

    /// <summary>32 bits, network order.</summary>
    public uint UInt32BigEndian => BinaryPrimitives.ReadUInt32BigEndian(Expect(4));

    /// <summary>64 bits, network order.</summary>
    public ulong UInt64BigEndian => BinaryPrimitives.ReadUInt64BigEndian(Expect(8));

    /// <summary>Text up to a terminating zero.</summary>
    public string String
    {
        get
        {
            var end = Value.IndexOf((byte)0);
            return Encoding.UTF8.GetString(end < 0 ? Value : Value[..end]);
        }
    }

    /// <summary>An address of 4 or 16 bytes.</summary>
    public InetAddress Address => Value.Length is 4 or 16
        ? InetAddress.FromBytes(Value)
        : throw new NetlinkFormatException($"Attribute {Type} of {Value.Length} bytes is no IP address.");

    private ReadOnlySpan<byte> Expect(int length) => Value.Length >= length
        ? Value
        : throw new NetlinkFormatException($"Attribute {Type} has {Value.Length} bytes where {length} were expected.");
}
