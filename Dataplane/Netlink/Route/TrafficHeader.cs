namespace Overlay.Dataplane.Netlink.Route;

/// <summary>What messages of queueing disciplines and of filters begin with: <c>struct tcmsg</c> (linux/rtnetlink.h).</summary>
/// <param name="Index">ifindex of the device.</param>
/// <param name="Handle">Its own handle; 0 leaves it to the kernel.</param>
/// <param name="Parent">Handle of what it hangs on.</param>
/// <param name="Detail">Filters: priority in the upper 16 bits, protocol (ETH_P_*, network order) in the lower ones. Disciplines, from the kernel: how many users it has.</param>
internal readonly record struct TrafficHeader(int Index, uint Handle, uint Parent, uint Detail)
{
    // struct tcmsg { unsigned char tcm_family, tcm__pad1; unsigned short tcm__pad2; int tcm_ifindex; __u32 tcm_handle, tcm_parent, tcm_info; };
    internal const int Length = 20;

    internal static TrafficHeader Read(NetlinkMessage message)
    {
        var header = message.Header(Length);
        return new(BitConverter.ToInt32(header[4..]), BitConverter.ToUInt32(header[8..]), BitConverter.ToUInt32(header[12..]), BitConverter.ToUInt32(header[16..]));
    }

    internal void Write(NetlinkWriter writer)
    {
        var header = writer.Reserve(Length);
        BitConverter.TryWriteBytes(header[4..], Index);
        BitConverter.TryWriteBytes(header[8..], Handle);
        BitConverter.TryWriteBytes(header[12..], Parent);
        BitConverter.TryWriteBytes(header[16..], Detail);
    }
}
