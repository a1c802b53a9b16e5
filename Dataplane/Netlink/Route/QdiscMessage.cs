using static Overlay.Dataplane.Netlink.NlmF;
using static Overlay.Dataplane.Netlink.Route.RtmType;
using static Overlay.Dataplane.Netlink.Route.Tca;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>A queueing discipline as the kernel tells it (RTM_NEWQDISC), and the requests about them: <c>tc qdisc</c>.</summary>
public sealed record QdiscMessage
{
    private QdiscMessage(NetlinkMessage message)
    {
        (Index, Handle, Parent, _) = TrafficHeader.Read(message);
        foreach (var attribute in message.AttributesAfter(TrafficHeader.Length))
            switch ((Tca)attribute.Type)
            {
                case TCA_KIND:
                    Kind = attribute.String;
                    break;
                case TCA_OPTIONS when Kind == TbfQdisc.Kind: // The kernel writes the kind first.
                    Tbf = TbfQdisc.Parse(attribute.Nested);
                    break;
            }
    }

    public QdiscMessage()
    {
    }

    /// <summary>ifindex of the device.</summary>
    public int Index { get; init; }

    public uint Handle { get; init; }

    public uint Parent { get; init; }

    /// <summary><c>tbf</c>, <c>ingress</c>, <c>fq_codel</c> …</summary>
    public string Kind { get; init; } = "";

    /// <summary>When <see cref="Kind"/> is <c>tbf</c>.</summary>
    public TbfQdisc? Tbf { get; init; }

    /// <summary>Reads RTM_NEWQDISC.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static QdiscMessage Parse(NetlinkMessage message) => new(message);

    /// <summary>Every discipline of the namespace that is not built in (<c>noqueue</c> is). The kernel filters nothing, so this costs what is there. Equivalent to: <c>tc qdisc show</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses.</exception>
    public static List<QdiscMessage> Dump(NetlinkSocket socket)
    {
        using var writer = new NetlinkWriter();
        WriteDump(writer, socket.NextSequence());
        return socket.Query<QdiscMessage>(writer, static (message, rows) => rows.Add(Parse(message)), "RTM_GETQDISC dump");
    }

    /// <summary>Equivalent to: <c>tc qdisc add dev DEV root handle 1: tbf rate RATE burst BURST limit LIMIT</c>.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="sequence">nlmsg_seq.</param>
    /// <param name="index">ifindex of the device.</param>
    /// <param name="rate">Bytes a second, 1 at least.</param>
    /// <param name="burst">Bytes that may pass at once; a longer packet never does.</param>
    /// <param name="limit">Bytes that may wait.</param>
    public static void WriteNewTbf(NetlinkWriter writer, uint sequence, int index, ulong rate, uint burst, uint limit)
    {
        var message = BeginNew(writer, sequence, new(index, TcHandle.First, TcHandle.TC_H_ROOT, 0), TbfQdisc.Kind);
        var options = writer.BeginNest((ushort)TCA_OPTIONS);
        TbfQdisc.Write(writer, rate, burst, limit);
        writer.EndNest(options);
        writer.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>tc qdisc add dev DEV handle ffff: ingress</c>.</summary>
    public static void WriteNewIngress(NetlinkWriter writer, uint sequence, int index) =>
        writer.EndMessage(BeginNew(writer, sequence, new(index, TcHandle.Ingress, TcHandle.TC_H_INGRESS, 0), "ingress"));

    internal static void WriteDump(NetlinkWriter writer, uint sequence)
    {
        var message = writer.BeginMessage((ushort)RTM_GETQDISC, (ushort)(NLM_F_REQUEST | NLM_F_DUMP), sequence);
        default(TrafficHeader).Write(writer);
        writer.EndMessage(message);
    }

    private static NetlinkMark BeginNew(NetlinkWriter writer, uint sequence, TrafficHeader header, string kind)
    {
        var message = writer.BeginMessage((ushort)RTM_NEWQDISC, (ushort)(NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL), sequence);
        header.Write(writer);
        writer.String((ushort)TCA_KIND, kind);
        return message;
    }
}
