using System.Buffers.Binary;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFNL_*: the frame of every message to a subsystem of netfilter (linux/netfilter/nfnetlink.h).</summary>
public static class Nfnetlink
{
    public const ushort NFNL_SUBSYS_CTNETLINK = 1;
    public const ushort NFNL_SUBSYS_NFTABLES = 10;
    public const ushort NFNL_MSG_BATCH_BEGIN = 0x10;
    public const ushort NFNL_MSG_BATCH_END = 0x11;
    public const ushort NFNL_BATCH_GENID = 1;
    public const byte NFNETLINK_V0 = 0;

    // struct nfgenmsg { __u8 nfgen_family; __u8 version; __be16 res_id; };
    private const int HeaderLength = 4;

    /// <summary>Opens a message of nf_tables about the family inet.</summary>
    internal static NetlinkMark BeginMessage(this NetlinkWriter writer, NftMsgType type, NlmF flags, uint sequence)
    {
        var mark = writer.BeginMessage((ushort)(NFNL_SUBSYS_NFTABLES << 8 | (byte)type), (ushort)(NlmF.NLM_F_REQUEST | flags), sequence);
        writer.Nfgenmsg(NfFamily.NFPROTO_INET, 0);
        return mark;
    }

    internal static void Nfgenmsg(this NetlinkWriter writer, NfFamily family, ushort resource)
    {
        var header = writer.Reserve(HeaderLength);
        header[0] = (byte)family;
        header[1] = NFNETLINK_V0;
        BinaryPrimitives.WriteUInt16BigEndian(header[2..], resource);
    }

    /// <summary>The attributes of a message of nf_tables.</summary>
    /// <exception cref="NetlinkFormatException">It is shorter than its header.</exception>
    internal static NetlinkAttributes Attributes(NetlinkMessage message) => message.Payload.Length >= HeaderLength
        ? new(message.Payload[HeaderLength..])
        : throw new NetlinkFormatException($"A netfilter message with a payload of {message.Payload.Length} bytes has no nfgenmsg.");

    /// <summary>Whether the message is about the family inet.</summary>
    internal static bool IsInet(NetlinkMessage message) => !message.Payload.IsEmpty && message.Payload[0] == (byte)NfFamily.NFPROTO_INET;

    internal static ushort Nested(this ushort type) => (ushort)(type | (ushort)NlaF.NLA_F_NESTED);
}

/// <summary>NFPROTO_*: families of netfilter (linux/netfilter.h).</summary>
public enum NfFamily : byte
{
    NFPROTO_UNSPEC = 0,
    NFPROTO_INET = 1,
    NFPROTO_IPV4 = 2,
    NFPROTO_IPV6 = 10,
}
