using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Tests.Kernel;

/// <summary>
/// A network card that knows nothing of tunnels: of packets whose checksum the kernel left to it, it makes that of the outermost TCP or UDP header, whichever was asked for. It carries frames between two
/// devices of a namespace by packet sockets, which show what the kernel has so far.
/// </summary>
internal sealed class ForgetfulCard : IDisposable
{
    private const int ETH_P_ALL = 3;
    private const byte PACKET_OUTGOING = 4;
    private const int TypeOffset = 10; // of sll_pkttype in struct sockaddr_ll

    private const int Room = 128; // as the base library asks for, though the kernel fills 20

    private readonly Socket[] _ends;

    private ForgetfulCard(Socket[] ends) => _ends = ends;

    /// <summary>Puts it between two devices that nothing else connects.</summary>
    public static ForgetfulCard Between(NetnsFixture net, string one, string other)
    {
        var card = new ForgetfulCard([Open(net, one), Open(net, other)]);
        _ = Task.Run(() => CarryAsync(card._ends[0], card._ends[1]));
        _ = Task.Run(() => CarryAsync(card._ends[1], card._ends[0]));
        return card;
    }

    public void Dispose() => Array.ForEach(_ends, end => end.Dispose());

    private static Socket Open(NetnsFixture net, string device)
    {
        using var route = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        var index = LinkMessage.Get(route, device)!.Index;
        var socket = net.Netns.Run(() => new Socket(AddressFamily.Packet, SocketType.Raw, (ProtocolType)0));
        socket.Bind(new LinkLayerEndPoint(index));
        return socket;
    }

    private static async Task CarryAsync(Socket from, Socket to)
    {
        var buffer = new byte[65536];
        var sender = new SocketAddress(AddressFamily.Packet, Room);
        try
        {
            while (true)
            {
                sender.Size = Room;
                var length = await from.ReceiveFromAsync(buffer, SocketFlags.None, sender);
                if (sender.Buffer.Span[TypeOffset] == PACKET_OUTGOING)
                    continue;
                Complete(buffer.AsSpan(0, length));
                try
                {
                    await to.SendAsync(buffer.AsMemory(0, length));
                }
                catch (SocketException e) when (e.SocketErrorCode is SocketError.MessageSize or SocketError.NetworkDown or SocketError.NoBufferSpaceAvailable)
                {
                    // lost, as by any card
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private static void Complete(Span<byte> frame)
    {
        const int Ethernet = 14;
        var isIPv6 = frame is [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, ..];
        if (!isIPv6 && frame is not [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, ..])
            return;
        var packet = frame[Ethernet..];
        var header = isIPv6 ? 40 : (packet[0] & 15) * 4;
        var end = isIPv6 ? 40 + BinaryPrimitives.ReadUInt16BigEndian(packet[4..]) : BinaryPrimitives.ReadUInt16BigEndian(packet[2..]);
        var protocol = packet[isIPv6 ? 6 : 9];
        if (protocol is not (6 or 17) || end > packet.Length)
            return;
        var segment = packet[header..end];
        var field = segment.Slice(protocol == 6 ? 16 : 6, 2);
        if (protocol == 17 && field is [0, 0])
            return; // it has none
        field.Clear();
        var sum = Sum(isIPv6 ? packet.Slice(8, 32) : packet.Slice(12, 8)) + Sum(segment) + protocol + (uint)segment.Length;
        while (sum > 0xffff)
            sum = (sum & 0xffff) + (sum >> 16);
        BinaryPrimitives.WriteUInt16BigEndian(field, sum == 0xffff ? (ushort)0xffff : (ushort)~sum);
    }

    private static uint Sum(ReadOnlySpan<byte> bytes)
    {
        uint sum = 0;
        for (var i = 0; i < bytes.Length; i++)
            sum += i % 2 == 0 ? (uint)bytes[i] << 8 : bytes[i];
        return sum;
    }

    // struct sockaddr_ll, packet(7).
    private sealed class LinkLayerEndPoint(int index) : EndPoint
    {
        public override AddressFamily AddressFamily => AddressFamily.Packet;

        public override SocketAddress Serialize()
        {
            var address = new SocketAddress(AddressFamily.Packet, 20);
            var bytes = address.Buffer.Span;
            bytes[2..20].Clear();
            bytes[3] = ETH_P_ALL;
            BitConverter.TryWriteBytes(bytes[4..], index);
            return address;
        }
    }
}
