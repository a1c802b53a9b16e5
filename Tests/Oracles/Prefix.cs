using System.Net;
using System.Net.Sockets;

namespace Overlay.Tests.Oracles;

/// <summary>Prefixes with the base library's addresses, for the oracle alone.</summary>
public readonly record struct Prefix(IPAddress Address, int Length)
{
    /// <summary>Its lowest address.</summary>
    public IPAddress First
    {
        get
        {
            var bytes = Address.GetAddressBytes();
            for (var bit = Length; bit < bytes.Length * 8; bit++)
                bytes[bit / 8] &= (byte)~(0x80 >> (bit % 8));
            return new(bytes);
        }
    }

    /// <summary>Reads <c>ADDRESS/LENGTH</c>.</summary>
    public static bool TryParse(string? text, out Prefix prefix)
    {
        prefix = default;
        var parts = (text ?? "").Split('/');
        if (parts.Length != 2 || !IPAddress.TryParse(parts[0], out var address) || !int.TryParse(parts[1], out var length))
            return false;
        prefix = new(address, length);
        return length >= 0 && length <= (address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128);
    }

    /// <summary>Reads <c>ADDRESS/LENGTH</c>.</summary>
    /// <exception cref="FormatException">It is not.</exception>
    public static Prefix Parse(string text) => TryParse(text, out var prefix) ? prefix : throw new FormatException($"'{text}' is not a prefix.");

    /// <summary>Whether <paramref name="address"/> is of the prefix's family and begins with its bits.</summary>
    public static bool Contains(string prefix, IPAddress address)
    {
        var parsed = Parse(prefix);
        if (parsed.Address.AddressFamily != address.AddressFamily)
            return false;
        var (left, right) = (parsed.Address.GetAddressBytes(), address.GetAddressBytes());
        for (var bit = 0; bit < parsed.Length; bit++)
        {
            var mask = 0x80 >> (bit % 8);
            if ((left[bit / 8] & mask) != (right[bit / 8] & mask))
                return false;
        }

        return true;
    }
}
