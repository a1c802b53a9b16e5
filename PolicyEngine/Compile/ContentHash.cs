using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Overlay.PolicyEngine.Compile;

/// <summary>Hashes for names in the kernel: SHA-256 over parts that are kept apart, so that "a" + "bc" is not "ab" + "c"; written in base 32 of letters and the digits 2 to 7.</summary>
internal static class ContentHash
{
    private const string Alphabet = "abcdefghijklmnopqrstuvwxyz234567";

    /// <summary>Characters of a name that nothing else makes unique: 80 bits, so that nobody finds a second set with the name of a given one.</summary>
    public const int Long = 16;

    /// <summary>Characters of a name that also carries what it stands for: 40 bits.</summary>
    public const int Short = 8;

    /// <summary>The first <paramref name="characters"/> (at most 51) of the hash of <paramref name="parts"/>.</summary>
    public static string Of(int characters, IEnumerable<string> parts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> length = stackalloc byte[4];
        foreach (var part in parts)
        {
            var bytes = Encoding.UTF8.GetBytes(part);
            BinaryPrimitives.WriteInt32BigEndian(length, bytes.Length);
            hash.AppendData(length);
            hash.AppendData(bytes);
        }

        return string.Create(characters, hash.GetHashAndReset(), (text, digest) =>
        {
            for (var i = 0; i < text.Length; i++)
            {
                var bit = i * 5;
                var window = (digest[bit / 8] << 8) | digest[(bit / 8) + 1];
                text[i] = Alphabet[(window >> (11 - (bit % 8))) & 31];
            }
        });
    }
}
