namespace Overlay.Dataplane.Netlink;

/// <summary>NLMSG_ERROR and NLMSG_DONE: how the kernel says what became of a request.</summary>
internal static class NetlinkAcknowledgement
{
    // struct nlmsgerr { int error; struct nlmsghdr msg; }; then, unless NLM_F_CAPPED, the request's payload, then, with NLM_F_ACK_TLVS, attributes.
    // NLMSG_DONE: int error; then, with NLM_F_ACK_TLVS, attributes.
    private const int HeaderLength = 16;

    /// <summary>The failure it reports; null when all went well.</summary>
    /// <exception cref="NetlinkFormatException">It is cut short.</exception>
    internal static NetlinkFailure? Read(NetlinkMessage message)
    {
        var payload = message.Payload;
        if (payload.Length < sizeof(int))
        {
            // Some dumps of old kernels end in a NLMSG_DONE without payload.
            return (NlmsgType)message.Type == NlmsgType.NLMSG_DONE ? null : throw new NetlinkFormatException("An acknowledgement without errno.");
        }
        var error = BitConverter.ToInt32(payload);
        if (error >= 0)
            return null;
        string? text = null;
        int? offset = null;
        if (((NlmF)message.Flags & NlmF.NLM_F_ACK_TLVS) != 0)
            ReadAttributes(Attributes(message), ref text, ref offset);
        return new(message.Sequence, (Errno)(-error), text, offset);
    }

    private static ReadOnlySpan<byte> Attributes(NetlinkMessage message)
    {
        var payload = message.Payload;
        if ((NlmsgType)message.Type == NlmsgType.NLMSG_DONE)
            return payload[sizeof(int)..];
        if (payload.Length < sizeof(int) + HeaderLength)
            throw new NetlinkFormatException("An acknowledgement without the header of what it acknowledges.");
        var capped = ((NlmF)message.Flags & NlmF.NLM_F_CAPPED) != 0;
        var length = capped ? HeaderLength : (BitConverter.ToUInt32(payload[sizeof(int)..]) + 3L) & ~3L;
        if (length < HeaderLength || length > payload.Length - sizeof(int))
            throw new NetlinkFormatException($"An acknowledgement of a message of {length} bytes that it does not hold.");
        return payload[(int)(sizeof(int) + length)..];
    }

    private static void ReadAttributes(ReadOnlySpan<byte> attributes, ref string? text, ref int? offset)
    {
        foreach (var attribute in new NetlinkAttributes(attributes))
            switch ((NlmsgerrAttr)attribute.Type)
            {
                case NlmsgerrAttr.NLMSGERR_ATTR_MSG:
                    text = attribute.String;
                    break;
                case NlmsgerrAttr.NLMSGERR_ATTR_OFFS:
                    offset = (int)attribute.UInt32;
                    break;
                case NlmsgerrAttr.NLMSGERR_ATTR_MISS_TYPE:
                    text = $"{(text is null ? "" : text + ", ")}missing attribute {attribute.UInt32}";
                    break;
            }
    }
}
