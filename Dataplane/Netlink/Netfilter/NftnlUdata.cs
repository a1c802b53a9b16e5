using System.Text;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>
/// User data as nft(8) keeps it, without which it prints rules without comments and concatenated keys wrongly: entries of one byte type, one byte
/// length and the value (libnftnl/udata.h). Numbers are of the host's byte order.
/// </summary>
internal static class NftnlUdata
{
    private const byte NFTNL_UDATA_RULE_COMMENT = 0;
    private const byte NFTNL_UDATA_SET_KEYBYTEORDER = 0;
    private const byte NFTNL_UDATA_SET_DATABYTEORDER = 1;
    private const byte NFTNL_UDATA_SET_KEY_TYPEOF = 3;
    private const byte NFTNL_UDATA_SET_DATA_TYPEOF = 4;
    private const byte NFTNL_UDATA_SET_DATA_INTERVAL = 6;
    private const byte NFTNL_UDATA_SET_TYPEOF_EXPR = 0;
    private const byte NFTNL_UDATA_SET_TYPEOF_DATA = 1;
    private const byte NFTNL_UDATA_SET_ELEM_FLAGS = 1;
    private const int NFTNL_UDATA_COMMENT_MAXLEN = 128;

    // enum byteorder and enum expr_types of nft's sources; an element's flag says that its interval has no end.
    private const uint BYTEORDER_INVALID = 0;
    private const uint BYTEORDER_BIG_ENDIAN = 2;
    private const uint EXPR_CONCAT = 13;
    private const uint SET_ELEM_F_INTERVAL_OPEN = 1;

    /// <summary>User data of the last element of an interval set when its range has no end.</summary>
    internal static readonly byte[] OpenInterval = [.. Entry(NFTNL_UDATA_SET_ELEM_FLAGS, SET_ELEM_F_INTERVAL_OPEN)];

    /// <exception cref="ArgumentException">The comment is longer than nft can keep.</exception>
    internal static byte[] Comment(string comment)
    {
        var text = Encoding.UTF8.GetBytes(comment);
        return text.Length <= NFTNL_UDATA_COMMENT_MAXLEN
            ? [NFTNL_UDATA_RULE_COMMENT, (byte)(text.Length + 1), .. text, 0]
            : throw new ArgumentException($"A rule's comment has {text.Length} bytes; nft keeps at most {NFTNL_UDATA_COMMENT_MAXLEN}: {comment}", nameof(comment));
    }

    /// <summary>The comment in a rule's user data; null when there is none, or the bytes are somebody's own.</summary>
    internal static string? Comment(ReadOnlySpan<byte> userData)
    {
        while (userData.Length >= 2 && userData.Length >= 2 + userData[1])
        {
            var value = userData.Slice(2, userData[1]);
            if (userData[0] == NFTNL_UDATA_RULE_COMMENT)
                return Encoding.UTF8.GetString(value.TrimEnd((byte)0));
            userData = userData[(2 + value.Length)..];
        }
        return null;
    }

    /// <summary>What nft has to know of a set to print its elements.</summary>
    internal static byte[] Of(Set set)
    {
        byte[] concatenation = [.. Entry(NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_CONCAT), NFTNL_UDATA_SET_TYPEOF_DATA, 0];
        var bigEndian = set.Key.Count == 1 && set.Key[0] != DataType.InetProto;
        return
        [
            .. Entry(NFTNL_UDATA_SET_KEYBYTEORDER, bigEndian ? BYTEORDER_BIG_ENDIAN : BYTEORDER_INVALID),
            .. set.IsMap ? Entry(NFTNL_UDATA_SET_DATABYTEORDER, BYTEORDER_INVALID) : [],
            .. set.Key.Count > 1 ? [NFTNL_UDATA_SET_KEY_TYPEOF, (byte)concatenation.Length, .. concatenation] : Array.Empty<byte>(),
            .. set.EndpointFamily is not null ? [NFTNL_UDATA_SET_DATA_TYPEOF, (byte)concatenation.Length, .. concatenation] : Array.Empty<byte>(),
            .. set.IsMap ? Entry(NFTNL_UDATA_SET_DATA_INTERVAL, 0) : [],
        ];
    }

    private static byte[] Entry(byte type, uint value) => [type, sizeof(uint), .. BitConverter.GetBytes(value)];
}
