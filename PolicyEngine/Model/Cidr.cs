using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Overlay.PolicyEngine.Model;

/// <summary>A prefix: an address and a length. The address may keep host bits (<c>10.1.2.3/24</c>, as on an interface); <see cref="Network"/> clears them.</summary>
/// <param name="Address">The address as given.</param>
/// <param name="PrefixLength">0 to 32 (IPv4) or 128 (IPv6).</param>
public readonly record struct Cidr(InetAddress Address, int PrefixLength)
{
    /// <summary>The family of the address.</summary>
    public Family Family => Address.Family;

    /// <summary>The same prefix with its host bits cleared.</summary>
    public Cidr Network => new(First, PrefixLength);

    /// <summary>Lowest address of the prefix.</summary>
    public InetAddress First => new(Family, Address.Value & ~HostMask);

    /// <summary>Highest address of the prefix.</summary>
    public InetAddress Last => new(Family, Address.Value | HostMask);

    private UInt128 HostMask => PrefixLength == 0 && Family == Family.IPv6
        ? UInt128.MaxValue
        : (UInt128.One << (Family.Bits() - PrefixLength)) - 1;

    /// <summary>The prefix that holds exactly one address.</summary>
    public static Cidr Host(InetAddress address) => new(address, address.Family.Bits());

    /// <summary>Whether <paramref name="address"/> is of the same family and inside.</summary>
    public bool Contains(InetAddress address) => address.Family == Family && address >= First && address <= Last;

    /// <summary>Whether every address of <paramref name="other"/> is inside.</summary>
    public bool Contains(Cidr other) => Contains(other.First) && Contains(other.Last);

    /// <summary>Whether the two share an address.</summary>
    public bool Overlaps(Cidr other) => Contains(other.First) || other.Contains(First);

    /// <summary>Reads <c>ADDRESS/LENGTH</c>; the length must be there, plain decimal without leading zeros and in range. Refuses IPv4-mapped IPv6 prefixes
    /// (whose length counts from 128), as it does everything that <see cref="InetAddress.TryParse"/> refuses.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out Cidr cidr)
    {
        cidr = default;
        var slash = text?.IndexOf('/', StringComparison.Ordinal) ?? -1;
        if (text is null || slash < 0 || !InetAddress.TryParse(text[..slash], out var address))
            return false;
        var digits = text.AsSpan(slash + 1);
        if (!int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var length) || length > address.Family.Bits() || digits is ['0', _, ..])
            return false;
        if (address.Family == Family.IPv4 && text.Contains(':', StringComparison.Ordinal))
            return false;
        cidr = new(address, length);
        return true;
    }

    /// <summary>Reads <c>ADDRESS/LENGTH</c>.</summary>
    /// <exception cref="FormatException"><paramref name="text"/> is not a prefix.</exception>
    public static Cidr Parse(string text) =>
        TryParse(text, out var cidr) ? cidr : throw new FormatException($"'{text}' is not a prefix such as 10.42.0.0/24 or fd00:42::/64.");

    /// <summary><c>ADDRESS/LENGTH</c>.</summary>
    public override string ToString() => $"{Address}/{PrefixLength}";
}
