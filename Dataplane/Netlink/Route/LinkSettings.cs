using Overlay.Dataplane.Desired;
using static Overlay.Dataplane.Netlink.Route.IflaType;

namespace Overlay.Dataplane.Netlink.Route;

/// <summary>What a request says about a link; what is null is left as it is (or, when creating, to the kernel).</summary>
public sealed record LinkSettings
{
    /// <summary>Which link; when creating, the index it is to have. 0: found by <see cref="Name"/>, or the kernel's choice.</summary>
    public int Index { get; init; }

    /// <summary>Up to 15 bytes. With an index of an existing link: its new name.</summary>
    public string? Name { get; init; }

    /// <summary>Whether it is up.</summary>
    public bool? Up { get; init; }

    /// <summary>The namespace to create it in or move it to: an open descriptor (<see cref="Netns.Descriptor"/>).</summary>
    public int? NetnsDescriptor { get; init; }

    /// <summary>Its Ethernet address.</summary>
    public MacAddress? Address { get; init; }

    /// <summary>Bytes.</summary>
    public int? Mtu { get; init; }

    /// <summary>Free text of up to 255 bytes. For existing links only: the kernel ignores it when creating.</summary>
    public string? Alias { get; init; }

    /// <summary>Number of the group of links, for <see cref="LinkMessage.WriteDeleteGroup"/>; 0 is the default group.</summary>
    public uint? Group { get; init; }

    /// <summary>How it gets its IPv6 link-local address. For existing links only: the kernel ignores it when creating.</summary>
    public In6AddrGenMode? AddrGenMode { get; init; }

    /// <summary>Index of the bridge it is a port of; 0: of none.</summary>
    public int? Master { get; init; }

    // struct ifinfomsg { unsigned char ifi_family, __ifi_pad; unsigned short ifi_type; int ifi_index; unsigned ifi_flags, ifi_change; };
    internal void WriteHeader(NetlinkWriter writer)
    {
        var header = writer.Reserve(LinkMessage.HeaderLength);
        BitConverter.TryWriteBytes(header[4..], Index);
        if (Up is not { } up)
            return;
        BitConverter.TryWriteBytes(header[8..], (uint)(up ? Iff.IFF_UP : Iff.None));
        BitConverter.TryWriteBytes(header[12..], (uint)Iff.IFF_UP);
    }

    internal void WriteAttributes(NetlinkWriter writer)
    {
        if (NetnsDescriptor is { } descriptor)
            writer.UInt32((ushort)IFLA_NET_NS_FD, (uint)descriptor);
        if (Address is { } address)
            address.WriteTo(writer.Attribute((ushort)IFLA_ADDRESS, 6));
        if (Mtu is { } mtu)
            writer.UInt32((ushort)IFLA_MTU, (uint)mtu);
        if (Alias is { } alias)
            writer.Bytes((ushort)IFLA_IFALIAS, System.Text.Encoding.UTF8.GetBytes(alias));
        if (Group is { } group)
            writer.UInt32((ushort)IFLA_GROUP, group);
        if (AddrGenMode is { } mode)
            WriteAddrGenMode(writer, mode);
        if (Master is { } master)
            writer.UInt32((ushort)IFLA_MASTER, (uint)master);
        if (Name is { } name)
            writer.String((ushort)IFLA_IFNAME, name);
    }

    internal void CheckForCreation()
    {
        if (Name is null)
            throw new ArgumentException("A link to be created needs a name.");
        if (Alias is not null || AddrGenMode is not null)
            throw new ArgumentException($"The kernel ignores alias and addrgenmode when it creates {Name}; set them by a message of their own.");
    }

    private static void WriteAddrGenMode(NetlinkWriter writer, In6AddrGenMode mode)
    {
        var families = writer.BeginNest((ushort)IFLA_AF_SPEC);
        var inet6 = writer.BeginNest((ushort)Af.AF_INET6);
        writer.Byte((ushort)IflaInet6.IFLA_INET6_ADDR_GEN_MODE, (byte)mode);
        writer.EndNest(inet6);
        writer.EndNest(families);
    }
}
