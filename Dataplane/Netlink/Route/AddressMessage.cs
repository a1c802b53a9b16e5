using Overlay.PolicyEngine.Model;
using static Overlay.Dataplane.Netlink.NlmF;
using static Overlay.Dataplane.Netlink.Route.IfaType;
using static Overlay.Dataplane.Netlink.Route.RtmType;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>An address on a link as the kernel tells it (RTM_NEWADDR), and the requests about addresses: <c>ip address</c>.</summary>
public sealed record AddressMessage
{
    // struct ifaddrmsg { __u8 ifa_family, ifa_prefixlen, ifa_flags, ifa_scope; __u32 ifa_index; };
    private const int HeaderLength = 8;

    public AddressMessage()
    {
    }

    private AddressMessage(NetlinkMessage message)
    {
        var header = message.Header(HeaderLength);
        Flags = (IfaF)header[2];
        Scope = (RtScope)header[3];
        Index = BitConverter.ToInt32(header[4..]);
        InetAddress? local = null;
        InetAddress? address = null;
        foreach (var attribute in message.AttributesAfter(HeaderLength))
            switch ((IfaType)attribute.Type)
            {
                case IFA_LOCAL:
                    local = attribute.Address;
                    break;
                case IFA_ADDRESS:
                    address = attribute.Address;
                    break;
                case IFA_FLAGS:
                    Flags = (IfaF)attribute.UInt32;
                    break;
            }
        // On a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL otherwise.
        Prefix = RouteFamily.Prefix(local ?? address, header[0], header[1]);
        Peer = local is not null && address != local ? address : null;
    }

    /// <summary>Index of the link.</summary>
    public int Index { get; init; }

    /// <summary>The address and its prefix length.</summary>
    public Cidr Prefix { get; init; }

    /// <summary>The other end's address, on a point-to-point link.</summary>
    public InetAddress? Peer { get; init; }

    /// <summary>IFA_F_NODAD spares IPv6 addresses the seconds in which they cannot be used; the kernel adds IFA_F_PERMANENT.</summary>
    public IfaF Flags { get; init; }

    public RtScope Scope { get; init; }

    /// <summary>Reads RTM_NEWADDR or RTM_DELADDR.</summary>
    /// <exception cref="NetlinkFormatException">It is malformed.</exception>
    public static AddressMessage Parse(NetlinkMessage message) => new(message);

    /// <summary>Every address of the namespace, or of one link where <paramref name="index"/> is not 0. Equivalent to: <c>ip address show [dev DEV]</c>.</summary>
    /// <exception cref="NetlinkException">The kernel refuses; ENODEV: no such link.</exception>
    public static List<AddressMessage> Dump(NetlinkSocket socket, int index = 0)
    {
        using var writer = new NetlinkWriter();
        WriteDump(writer, socket.NextSequence(), index);
        return socket.Query<AddressMessage>(writer, static (reply, rows) => rows.Add(Parse(reply)), "RTM_GETADDR dump");
    }

    /// <summary>Equivalent to: <c>ip address add PREFIX dev DEV [nodad] [noprefixroute]</c>. EEXIST when it is there already.</summary>
    public static void WriteNew(NetlinkWriter writer, uint sequence, AddressMessage address) =>
        address.Write(writer, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sequence);

    /// <summary>Equivalent to: <c>ip address delete PREFIX dev DEV</c>. EADDRNOTAVAIL when it is not there.</summary>
    public static void WriteDelete(NetlinkWriter writer, uint sequence, AddressMessage address) =>
        address.Write(writer, RTM_DELADDR, None, sequence);

    internal static void WriteDump(NetlinkWriter writer, uint sequence, int index)
    {
        var message = writer.BeginMessage((ushort)RTM_GETADDR, (ushort)(NLM_F_REQUEST | NLM_F_DUMP), sequence);
        BitConverter.TryWriteBytes(writer.Reserve(HeaderLength)[4..], index);
        writer.EndMessage(message);
    }

    public override string ToString() => $"{Prefix} dev {Index}{((Flags & IfaF.IFA_F_NODAD) != 0 ? " nodad" : "")}";

    private void Write(NetlinkWriter writer, RtmType type, NlmF flags, uint sequence)
    {
        var message = writer.BeginMessage((ushort)type, (ushort)(NLM_F_REQUEST | NLM_F_ACK | flags), sequence);
        var header = writer.Reserve(HeaderLength);
        header[0] = (byte)Prefix.Family.ToAf();
        header[1] = (byte)Prefix.PrefixLength;
        header[2] = Flags <= (IfaF)byte.MaxValue ? (byte)Flags : (byte)0;
        header[3] = (byte)Scope;
        BitConverter.TryWriteBytes(header[4..], Index);
        writer.Address((ushort)IFA_LOCAL, Prefix.Address);
        if (Flags > (IfaF)byte.MaxValue)
            writer.UInt32((ushort)IFA_FLAGS, (uint)Flags);
        writer.Address((ushort)IFA_ADDRESS, Peer ?? Prefix.Address);
        writer.EndMessage(message);
    }
}
