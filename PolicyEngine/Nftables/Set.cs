using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Nftables;

/// <summary>Data types of set keys; the values are nft's own type numbers (<c>enum datatypes</c> of nftables), which the kernel stores for nft to print with.</summary>
public enum DataType : byte
{
    /// <summary>4 bytes.</summary>
    Ipv4Addr = 7,

    /// <summary>16 bytes.</summary>
    Ipv6Addr = 8,

    /// <summary>1 byte.</summary>
    InetProto = 12,

    /// <summary>2 bytes.</summary>
    InetService = 13,
}

/// <summary>Facts of a <see cref="DataType"/>.</summary>
public static class DataTypeFacts
{
    /// <summary>Bytes of the bare value.</summary>
    public static int Length(this DataType type) => type switch
    {
        DataType.Ipv4Addr => 4,
        DataType.Ipv6Addr => 16,
        DataType.InetProto => 1,
        _ => 2,
    };

    /// <summary>Bytes in a concatenation: padded to whole 32-bit registers.</summary>
    public static int RegisterLength(this DataType type) => (type.Length() + 3) & ~3;

    /// <summary>As nft(8) writes it: <c>ipv4_addr</c>, <c>inet_service</c> ….</summary>
    public static string NftName(this DataType type) => type switch
    {
        DataType.Ipv4Addr => "ipv4_addr",
        DataType.Ipv6Addr => "ipv6_addr",
        DataType.InetProto => "inet_proto",
        _ => "inet_service",
    };

    /// <summary>The address type of a family.</summary>
    public static DataType AddressType(this Family family) => family == Family.IPv4 ? DataType.Ipv4Addr : DataType.Ipv6Addr;
}

/// <summary>A named set, a verdict map when <paramref name="IsVerdictMap"/>, or a map to endpoints. Its elements are rows of their own (<see cref="Element"/>).</summary>
/// <param name="Name">At most 255 bytes.</param>
/// <param name="Key">The parts of the key, 1 to 4.</param>
/// <param name="IsInterval">Elements are ranges (rbtree for one part, pipapo for several); else a hash table.</param>
/// <param name="IsVerdictMap">Elements carry a verdict.</param>
public sealed record Set(string Name, EquatableArray<DataType> Key, bool IsInterval = false, bool IsVerdictMap = false)
{
    /// <summary>In a map to endpoints the family of their addresses (<c>: ipv4_addr . inet_service</c>); null in a set and in a verdict map.</summary>
    public Family? EndpointFamily { get; init; }

    /// <summary>Whether its elements carry something: a verdict or an endpoint.</summary>
    public bool IsMap => IsVerdictMap || EndpointFamily is not null;

    /// <summary>Bytes of a key: the bare length of a single part, padded registers in a concatenation.</summary>
    public int KeyLength
    {
        get
        {
            if (Key.Count == 1)
                return Key[0].Length();
            var length = 0;
            foreach (var part in Key)
                length += part.RegisterLength();
            return length;
        }
    }

    /// <summary>Whether an element carries what those of this set do: a verdict, an endpoint of its family, or nothing.</summary>
    public bool IsOfKind(in Element element) => element.Verdict is not null == IsVerdictMap && element.Endpoint?.Address.Family == EndpointFamily;
}

/// <summary>An address and a port: what a packet's destination is translated to.</summary>
/// <param name="Address">Address.</param>
/// <param name="Port">Port.</param>
public sealed record Endpoint(InetAddress Address, ushort Port)
{
    /// <summary>As nft(8) writes it in a map: <c>10.42.0.5 . 80</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Address} . {Port}");
}

/// <summary>The key of an element: up to 32 bytes in network order, each part padded with zeros to whole 32-bit registers, as the kernel keeps a concatenation. A value without heap.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)] // else the numbers are aligned to 16 bytes, and the whole has 48 instead of 36
public readonly record struct ElementKey : IComparable<ElementKey>
{
    /// <summary>Bytes of the longest key.</summary>
    public const int MaxLength = 32;

    private readonly UInt128 _high;
    private readonly UInt128 _low;

    private ElementKey(UInt128 high, UInt128 low, int length)
    {
        _high = high;
        _low = low;
        Length = (byte)length;
    }

    /// <summary>Bytes in use: 4, 8 …; a multiple of 4, at most 32.</summary>
    public byte Length { get; }

    /// <summary>A key of one address.</summary>
    public static ElementKey Of(InetAddress address) => default(ElementKey).And(address);

    /// <summary>A key that begins with a protocol.</summary>
    public static ElementKey Of(IpProtocol protocol) => default(ElementKey).And(protocol);

    /// <summary>This key with an address appended.</summary>
    public ElementKey And(InetAddress address) =>
        address.Family == Family.IPv4 ? Append((UInt128)address.Value << 96, 4) : Append(address.Value, 16);

    /// <summary>This key with a protocol appended.</summary>
    public ElementKey And(IpProtocol protocol) => Append((UInt128)(byte)protocol << 120, 4);

    /// <summary>This key with a port appended.</summary>
    public ElementKey And(ushort port) => Append((UInt128)port << 112, 4);

    /// <summary>Writes <see cref="Length"/> bytes.</summary>
    public void WriteTo(Span<byte> destination)
    {
        Span<byte> bytes = stackalloc byte[MaxLength];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, _high);
        BinaryPrimitives.WriteUInt128BigEndian(bytes[16..], _low);
        bytes[..Length].CopyTo(destination);
    }

    /// <summary>Reads a key in the padded form: 1 to 32 bytes, filled up with zeros to a multiple of 4.</summary>
    public static ElementKey FromBytes(ReadOnlySpan<byte> bytes)
    {
        Span<byte> padded = stackalloc byte[MaxLength];
        padded.Clear();
        bytes.CopyTo(padded);
        return new(BinaryPrimitives.ReadUInt128BigEndian(padded), BinaryPrimitives.ReadUInt128BigEndian(padded[16..]), (bytes.Length + 3) & ~3);
    }

    /// <summary>Byte order, part by part.</summary>
    public int CompareTo(ElementKey other) => _high != other._high ? _high.CompareTo(other._high) : _low.CompareTo(other._low);

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator <(ElementKey left, ElementKey right) => left.CompareTo(right) < 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator >(ElementKey left, ElementKey right) => left.CompareTo(right) > 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator <=(ElementKey left, ElementKey right) => left.CompareTo(right) <= 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator >=(ElementKey left, ElementKey right) => left.CompareTo(right) >= 0;

    // The value stands at the top of 128 bits; it goes in at byte offset Length. Lengths are whole registers, so a part of 16 bytes may straddle the halves.
    private ElementKey Append(UInt128 value, int length)
    {
        var shift = Length * 8;
        var high = shift < 128 ? _high | (value >> shift) : _high;
        var low = shift >= 128 ? _low | (value >> (shift - 128)) : shift == 0 ? _low : _low | (value << (128 - shift));
        return Length + length <= MaxLength
            ? new(high, low, Length + length)
            : throw new InvalidOperationException("A set key holds at most 32 bytes.");
    }
}

/// <summary>An element of a set or map.</summary>
/// <param name="Key">First key of the range; the key itself in a plain set.</param>
/// <param name="Last">Last key of the range, inclusive, part by part; equal to <paramref name="Key"/> in a plain set.</param>
/// <param name="Verdict">Set in a verdict map, null in others.</param>
public readonly record struct Element(ElementKey Key, ElementKey Last, Verdict? Verdict)
{
    /// <summary>Set in a map to endpoints, null in others.</summary>
    public Endpoint? Endpoint { get; init; }

    /// <summary>A plain element.</summary>
    public static Element Of(ElementKey key, Verdict? verdict = null) => new(key, key, verdict);

    /// <summary>A range of addresses.</summary>
    public static Element Range(InetAddress first, InetAddress last) => new(ElementKey.Of(first), ElementKey.Of(last), null);
}
