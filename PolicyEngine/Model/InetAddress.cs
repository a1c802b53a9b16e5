using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Runtime.InteropServices;

namespace Overlay.PolicyEngine.Model;

/// <summary>The two families of IP. A value, never a second class (style: IPv4/IPv6 is a value).</summary>
public enum Family : byte
{
    /// <summary>IPv4: 32-bit addresses.</summary>
    IPv4 = 4,

    /// <summary>IPv6: 128-bit addresses.</summary>
    IPv6 = 6,
}

/// <summary>Facts of a <see cref="Family"/>.</summary>
public static class FamilyFacts
{
    /// <summary>Bits of an address: 32 or 128.</summary>
    public static int Bits(this Family family) => family == Family.IPv4 ? 32 : 128;

    /// <summary>Suffix of per-family set names: <c>v4</c> or <c>v6</c>.</summary>
    public static string Suffix(this Family family) => family == Family.IPv4 ? "v4" : "v6";

    /// <summary>The two families, IPv4 first.</summary>
    public static readonly Family[] Both = [Family.IPv4, Family.IPv6];
}

/// <summary>An IPv4 or IPv6 address as a value of 20 bytes: no heap, no scope id. IPv4-mapped IPv6 addresses are read as IPv4.</summary>
/// <param name="Family">Which family.</param>
/// <param name="Value">The address as a big-endian number: 0 to 2^32-1 or 2^128-1.</param>
[StructLayout(LayoutKind.Sequential, Pack = 4)] // else the number is aligned to 16 bytes, and the whole has 32
public readonly record struct InetAddress(Family Family, UInt128 Value) : IComparable<InetAddress>
{
    /// <summary>Length in bytes: 4 or 16.</summary>
    public int Length => Family == Family.IPv4 ? 4 : 16;

    /// <summary>Writes the address in network byte order; <paramref name="destination"/> holds at least <see cref="Length"/> bytes.</summary>
    public void WriteTo(Span<byte> destination)
    {
        if (Family == Family.IPv4)
            BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)Value);
        else
            BinaryPrimitives.WriteUInt128BigEndian(destination, Value);
    }

    /// <summary>Reads 4 or 16 bytes in network byte order.</summary>
    /// <exception cref="ArgumentException"><paramref name="bytes"/> is neither 4 nor 16 long.</exception>
    public static InetAddress FromBytes(ReadOnlySpan<byte> bytes) => bytes.Length switch
    {
        4 => new(Family.IPv4, BinaryPrimitives.ReadUInt32BigEndian(bytes)),
        16 => new(Family.IPv6, BinaryPrimitives.ReadUInt128BigEndian(bytes)),
        _ => throw new ArgumentException($"An IP address has 4 or 16 bytes, not {bytes.Length}.", nameof(bytes)),
    };

    /// <summary>Reads the usual text forms. Refuses scope ids, brackets and lengths, and IPv4 that is not four decimal parts without leading zeros
    /// (which some read as octal, so that a policy would mean one thing here and another there).</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out InetAddress address)
    {
        address = default;
        if (text is null || !text.Contains(':', StringComparison.Ordinal))
            return TryParseIPv4(text, out address);
        if (text.AsSpan().IndexOfAny("%[]/") >= 0 || !IPAddress.TryParse(text, out var parsed))
            return false;
        if (parsed.IsIPv4MappedToIPv6)
            parsed = parsed.MapToIPv4();
        Span<byte> bytes = stackalloc byte[16];
        parsed.TryWriteBytes(bytes, out var length);
        address = FromBytes(bytes[..length]);
        return true;
    }

    private static bool TryParseIPv4(ReadOnlySpan<char> text, out InetAddress address)
    {
        var (value, parts, part, digits) = (0u, 1, 0u, 0);
        address = default;
        foreach (var character in text)
        {
            var digit = (uint)(character - '0');
            if (character == '.' && digits > 0 && parts < 4)
                (value, parts, part, digits) = ((value << 8) | part, parts + 1, 0, 0);
            else if (digit <= 9 && (digits == 0 || part > 0) && (part * 10) + digit <= 255)
                (part, digits) = ((part * 10) + digit, digits + 1);
            else
                return false;
        }

        if (parts != 4 || digits == 0)
            return false;
        address = new(Family.IPv4, (value << 8) | part);
        return true;
    }

    /// <summary>Reads the usual text forms.</summary>
    /// <exception cref="FormatException"><paramref name="text"/> is not an address.</exception>
    public static InetAddress Parse(string text) =>
        TryParse(text, out var address) ? address : throw new FormatException($"'{text}' is not an IPv4 or IPv6 address.");

    /// <summary>The same address as the base library's class.</summary>
    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        WriteTo(bytes);
        return new IPAddress(bytes[..Length]);
    }

    /// <summary>IPv4 before IPv6, then by number.</summary>
    public int CompareTo(InetAddress other) => Family != other.Family ? Family.CompareTo(other.Family) : Value.CompareTo(other.Value);

    /// <summary>The canonical text (RFC 5952 for IPv6).</summary>
    public override string ToString() => ToIPAddress().ToString();

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator <(InetAddress left, InetAddress right) => left.CompareTo(right) < 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator >(InetAddress left, InetAddress right) => left.CompareTo(right) > 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator <=(InetAddress left, InetAddress right) => left.CompareTo(right) <= 0;

    /// <summary>Order of <see cref="CompareTo"/>.</summary>
    public static bool operator >=(InetAddress left, InetAddress right) => left.CompareTo(right) >= 0;
}
