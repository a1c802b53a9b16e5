using System.Buffers.Binary;
using static Overlay.Dataplane.Netlink.NlmF;
using static Overlay.Dataplane.Netlink.Route.RtmType;
using static Overlay.Dataplane.Netlink.Route.Tca;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>A filter as the kernel tells it (RTM_NEWTFILTER), and the requests about them: <c>tc filter</c>. Of u32 the kernel tells the filter, its hash table and each key as messages of their own.</summary>
public sealed record FilterMessage
{
    private const string U32 = "u32";
    private const string Mirred = "mirred";
    private const ushort First = 1;
    private const ushort EtherTypeAny = 3; // ETH_P_ALL

    // struct tc_u32_sel { unsigned char flags, offshift, nkeys; __be16 offmask; __u16 off; short offoff, hoff; __be32 hmask; struct tc_u32_key keys[]; };
    // struct tc_u32_key { __be32 mask, val; int off, offmask; };
    private const int SelectorLength = 16;
    private const int KeyLength = 16;
    private const int KeysAt = 2;

    // struct tc_mirred { __u32 index, capab; int action, refcnt, bindcnt, eaction; __u32 ifindex; };
    private const int MirredLength = 28;
    private const int ActionAt = 8;
    private const int HowAt = 20;
    private const int DeviceAt = 24;

    public FilterMessage()
    {
    }

    private FilterMessage(NetlinkMessage message)
    {
        (Index, Handle, Parent, var detail) = TrafficHeader.Read(message);
        Priority = (ushort)(detail >> 16);
        foreach (var attribute in message.AttributesAfter(TrafficHeader.Length))
            switch ((Tca)attribute.Type)
            {
                case TCA_KIND:
                    Kind = attribute.String;
                    break;
                case TCA_OPTIONS when Kind == U32: // The kernel writes the kind first.
                    (HasKey, Redirect) = ParseU32(attribute.Nested, isOfAll: (ushort)detail == BinaryPrimitives.ReverseEndianness(EtherTypeAny));
                    break;
            }
    }

    /// <summary>ifindex of the device.</summary>
    public int Index { get; init; }

    public uint Handle { get; init; }

    public uint Parent { get; init; }

    /// <summary>Lower ones are asked first.</summary>
    public ushort Priority { get; init; }

    /// <summary><c>u32</c>, <c>matchall</c>, <c>flower</c> …</summary>
    public string Kind { get; init; } = "";

    /// <summary>u32: whether this is a key, and not the filter itself or its table.</summary>
    public bool HasKey { get; init; }

    /// <summary>ifindex of the device that every packet is sent by instead; null when it is another filter, or one of some packets only.</summary>
    public int? Redirect { get; init; }

    /// <summary>Reads RTM_NEWTFILTER.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static FilterMessage Parse(NetlinkMessage message) => new(message);

    /// <summary>The filters of what comes in by a device, none where it has no discipline <c>ingress</c>. Equivalent to: <c>tc filter show dev DEV parent ffff:</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static List<FilterMessage> DumpIngress(NetlinkSocket socket, int index)
    {
        using var writer = new NetlinkWriter();
        WriteDumpIngress(writer, socket.NextSequence(), index);
        return socket.Query<FilterMessage>(writer, static (message, rows) => rows.Add(Parse(message)), $"RTM_GETTFILTER dev {index} dump");
    }

    /// <summary>Equivalent to: <c>tc filter add dev DEV parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev TARGET</c>: all that comes in is sent by another device.</summary>
    public static void WriteNewRedirect(NetlinkWriter writer, uint sequence, int index, int target)
    {
        var message = writer.BeginMessage((ushort)RTM_NEWTFILTER, (ushort)(NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), sequence);
        new TrafficHeader(index, 0, TcHandle.Ingress, ((uint)First << 16) | BinaryPrimitives.ReverseEndianness(EtherTypeAny)).Write(writer);
        writer.String((ushort)TCA_KIND, U32);
        var options = writer.BeginNest((ushort)TCA_OPTIONS);
        var actions = writer.BeginNest((ushort)TcaU32.TCA_U32_ACT);
        WriteMirred(writer, target);
        writer.EndNest(actions);
        var selector = writer.Attribute((ushort)TcaU32.TCA_U32_SEL, SelectorLength + KeyLength);
        selector[0] = (byte)TcU32.TC_U32_TERMINAL;
        selector[KeysAt] = 1; // of zeros: any word is equal to it under its mask
        writer.EndNest(options);
        writer.EndMessage(message);
    }

    internal static void WriteDumpIngress(NetlinkWriter writer, uint sequence, int index)
    {
        var message = writer.BeginMessage((ushort)RTM_GETTFILTER, (ushort)(NLM_F_REQUEST | NLM_F_DUMP), sequence);
        new TrafficHeader(index, 0, TcHandle.Ingress, 0).Write(writer);
        writer.EndMessage(message);
    }

    private static void WriteMirred(NetlinkWriter writer, int target)
    {
        var action = writer.BeginNest(First); // its number in the order of actions
        writer.String((ushort)TcaAct.TCA_ACT_KIND, Mirred);
        var options = writer.BeginNest((ushort)TcaAct.TCA_ACT_OPTIONS | (ushort)NlaF.NLA_F_NESTED);
        var parameters = writer.Attribute((ushort)TcaMirred.TCA_MIRRED_PARMS, MirredLength);
        BitConverter.TryWriteBytes(parameters[ActionAt..], (int)TcAct.TC_ACT_STOLEN);
        BitConverter.TryWriteBytes(parameters[HowAt..], (int)TcaMirredAction.TCA_EGRESS_REDIR);
        BitConverter.TryWriteBytes(parameters[DeviceAt..], target);
        writer.EndNest(options);
        writer.EndNest(action);
    }

    private static (bool HasKey, int? Redirect) ParseU32(NetlinkAttributes options, bool isOfAll)
    {
        var hasKey = false;
        int? target = null;
        foreach (var attribute in options)
            switch ((TcaU32)attribute.Type)
            {
                case TcaU32.TCA_U32_SEL:
                    hasKey = true;
                    isOfAll &= MatchesAll(attribute.Value);
                    break;
                case TcaU32.TCA_U32_ACT:
                    foreach (var action in attribute.Nested)
                        if (action.Type == First)
                            target = ParseMirred(action.Nested);
                    break;
            }

        return (hasKey, isOfAll ? target : null);
    }

    private static bool MatchesAll(ReadOnlySpan<byte> selector) =>
        selector.Length >= SelectorLength + KeyLength && ((TcU32)selector[0] & TcU32.TC_U32_TERMINAL) != 0 && selector[KeysAt] == 1
        && selector[SelectorLength..].IndexOfAnyExcept((byte)0) < 0;

    private static int? ParseMirred(NetlinkAttributes action)
    {
        var isMirred = false;
        foreach (var attribute in action)
        {
            if ((TcaAct)attribute.Type == TcaAct.TCA_ACT_KIND)
                isMirred = attribute.String == Mirred;
            else if ((TcaAct)attribute.Type == TcaAct.TCA_ACT_OPTIONS && isMirred)
                foreach (var option in attribute.Nested)
                    if ((TcaMirred)option.Type == TcaMirred.TCA_MIRRED_PARMS && option.Value.Length >= MirredLength
                        && BitConverter.ToInt32(option.Value[HowAt..]) == (int)TcaMirredAction.TCA_EGRESS_REDIR)
                        return BitConverter.ToInt32(option.Value[DeviceAt..]);
        }

        return null;
    }
}
