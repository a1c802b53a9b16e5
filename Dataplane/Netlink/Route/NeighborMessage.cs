using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.NlmF;
using static Overlay.Dataplane.Netlink.Route.NdaType;
using static Overlay.Dataplane.Netlink.Route.RtmType;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>
/// A neighbour or forwarding entry as the kernel tells it (RTM_NEWNEIGH), and the requests about them: <c>ip neighbour</c>, and with the
/// family AF_BRIDGE <c>bridge fdb</c>.
/// </summary>
public sealed record NeighborMessage
{
    // struct ndmsg { __u8 ndm_family, ndm_pad1; __u16 ndm_pad2; __s32 ndm_ifindex; __u16 ndm_state; __u8 ndm_flags, ndm_type; };
    private const int HeaderLength = 12;

    public NeighborMessage()
    {
    }

    private NeighborMessage(NetlinkMessage message)
    {
        var header = message.Header(HeaderLength);
        Family = (Af)header[0];
        Index = BitConverter.ToInt32(header[4..]);
        State = (Nud)BitConverter.ToUInt16(header[8..]);
        Flags = (Ntf)header[10];
        foreach (var attribute in message.AttributesAfter(HeaderLength))
            switch ((NdaType)attribute.Type)
            {
                case NDA_DST:
                    Destination = attribute.Address;
                    break;
                case NDA_LLADDR:
                    LinkLayerAddress = attribute.Value.Length == 6 ? MacAddress.FromBytes(attribute.Value) : null;
                    break;
            }
    }

    public Af Family { get; init; }

    /// <summary>Index of the link.</summary>
    public int Index { get; init; }

    /// <summary>The neighbour's address; of a forwarding entry, the outer address of the remote node.</summary>
    public InetAddress? Destination { get; init; }

    public MacAddress? LinkLayerAddress { get; init; }

    public Nud State { get; init; }

    public Ntf Flags { get; init; }

    /// <summary>A neighbour that is never asked for: <c>ip neighbour … lladdr MAC nud permanent</c>.</summary>
    public static NeighborMessage Permanent(int index, InetAddress destination, MacAddress linkLayerAddress) => new()
    {
        Family = destination.Family.ToAf(),
        Index = index,
        Destination = destination,
        LinkLayerAddress = linkLayerAddress,
        State = Nud.NUD_PERMANENT,
    };

    /// <summary>A forwarding entry of a vxlan link that is never forgotten: <c>bridge fdb … MAC dst ADDRESS self permanent</c>.</summary>
    public static NeighborMessage Forwarding(int index, MacAddress linkLayerAddress, InetAddress destination) => new()
    {
        Family = Af.AF_BRIDGE,
        Index = index,
        Destination = destination,
        LinkLayerAddress = linkLayerAddress,
        State = Nud.NUD_PERMANENT | Nud.NUD_NOARP,
        Flags = Ntf.NTF_SELF,
    };

    /// <summary>Reads RTM_NEWNEIGH or RTM_DELNEIGH.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static NeighborMessage Parse(NetlinkMessage message) => new(message);

    /// <summary>The neighbours of one link (AF_INET, AF_INET6, or AF_UNSPEC for both) or its forwarding entries (AF_BRIDGE). Equivalent to: <c>ip neighbour show dev DEV nud all</c>, <c>bridge fdb show dev DEV</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static List<NeighborMessage> Dump(NetlinkSocket socket, Af family, int index)
    {
        using var writer = new NetlinkWriter();
        WriteDump(writer, socket.NextSequence(), family, index);
        return socket.Query<NeighborMessage>(writer, static (reply, rows) => rows.Add(Parse(reply)), $"RTM_GETNEIGH dump of dev {index}");
    }

    /// <summary>Equivalent to: <c>ip neighbour replace …</c>, <c>bridge fdb replace …</c>.</summary>
    public static void WriteReplace(NetlinkWriter writer, uint sequence, NeighborMessage neighbor) =>
        neighbor.Write(writer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sequence);

    /// <summary>Equivalent to: <c>ip neighbour delete …</c>, <c>bridge fdb delete …</c>. ENOENT when there is none.</summary>
    public static void WriteDelete(NetlinkWriter writer, uint sequence, NeighborMessage neighbor) =>
        neighbor.Write(writer, RTM_DELNEIGH, None, sequence);

    internal static void WriteDump(NetlinkWriter writer, uint sequence, Af family, int index)
    {
        var message = writer.BeginMessage((ushort)RTM_GETNEIGH, (ushort)(NLM_F_REQUEST | NLM_F_DUMP), sequence);
        writer.Reserve(HeaderLength)[0] = (byte)family;
        writer.UInt32((ushort)NDA_IFINDEX, (uint)index);
        writer.EndMessage(message);
    }

    public override string ToString() => Family == Af.AF_BRIDGE
        ? $"{LinkLayerAddress} dev {Index} dst {Destination} self"
        : $"{Destination} dev {Index} lladdr {LinkLayerAddress}";

    private void Write(NetlinkWriter writer, RtmType type, NlmF flags, uint sequence)
    {
        var message = writer.BeginMessage((ushort)type, (ushort)(NLM_F_REQUEST | NLM_F_ACK | flags), sequence);
        var header = writer.Reserve(HeaderLength);
        header[0] = (byte)Family;
        BitConverter.TryWriteBytes(header[4..], Index);
        BitConverter.TryWriteBytes(header[8..], (ushort)State);
        header[10] = (byte)Flags;

        // ip and bridge differ in the order; the kernel minds neither.
        if (Family != Af.AF_BRIDGE)
            WriteDestination(writer);
        if (LinkLayerAddress is { } address)
            address.WriteTo(writer.Attribute((ushort)NDA_LLADDR, 6));
        if (Family == Af.AF_BRIDGE)
            WriteDestination(writer);
        writer.EndMessage(message);
    }

    private void WriteDestination(NetlinkWriter writer)
    {
        if (Destination is { } destination)
            writer.Address((ushort)NDA_DST, destination);
    }
}
