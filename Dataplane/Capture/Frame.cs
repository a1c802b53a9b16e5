namespace Overlay.Dataplane.Capture;

/// <summary>A packet as a packet socket delivered it: without the header of its link, which tunnels other than VXLAN do not have.</summary>
/// <param name="Time">When the kernel had it: nanoseconds since 1970, UTC.</param>
/// <param name="Device">Name of the device it passed.</param>
/// <param name="Index">Number of that device.</param>
/// <param name="HardwareType">ARPHRD_* of that device.</param>
/// <param name="PacketType">PACKET_* (packet(7)): whom it was for, or that it went out.</param>
/// <param name="EtherType">What follows the header of the link.</param>
/// <param name="LinkAddress">Of the sender on the link, 8 bytes at most.</param>
/// <param name="Bytes">From the network header on, as many as were asked for.</param>
/// <param name="Length">Of the packet, bytes.</param>
internal sealed record Frame(long Time, string Device, int Index, ushort HardwareType, byte PacketType, ushort EtherType, byte[] LinkAddress, byte[] Bytes, int Length)
{
    private const byte Outgoing = 4; // PACKET_OUTGOING

    /// <summary>Whether it left by the device.</summary>
    public bool IsOutgoing => PacketType == Outgoing;
}
