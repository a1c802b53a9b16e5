using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Probing;

/// <summary>
/// The sockets of one family: a raw one for ICMP, and one for the two datagrams that tell whether checksums arrive. Both go to a port that nobody listens at, and the other node's kernel says so, once
/// it has found the checksum right. The kernel leaves the checksum of the first to the device; that of the second it makes itself, as it is put together of pieces (UDP_CORK, udp(7)).
/// </summary>
internal sealed class ProbeSockets : IDisposable
{
    // RFC 4727: for experiments; no program's own.
    private static readonly ushort[] Ports = [1021, 1022];

    // linux/icmp.h, icmpv6.h, in.h, in6.h, udp.h.
    private const int SOL_RAW = 255;
    private const int ICMP_FILTER = 1;
    private const int IPPROTO_ICMPV6 = 58;
    private const int ICMPV6_FILTER = 1;
    private const int IP_MTU_DISCOVER = 10;
    private const int IPV6_MTU_DISCOVER = 23;
    private const int IP_PMTUDISC_PROBE = 3;
    private const int UDP_CORK = 1;
    private const int AddressOffset4 = 4;
    private const int AddressOffset6 = 8;

    private readonly Family _family;
    private readonly Socket _icmp;
    private readonly Socket _udp;
    private readonly ushort _identifier = (ushort)Random.Shared.Next();

    private ProbeSockets(Family family)
    {
        _family = family;
        var addresses = family == Family.IPv4 ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
        _icmp = new(addresses, SocketType.Raw, family == Family.IPv4 ? ProtocolType.Icmp : ProtocolType.IcmpV6);
        try
        {
            _udp = new(addresses, SocketType.Dgram, ProtocolType.Udp);
            try
            {
                _udp.Bind(new IPEndPoint(family == Family.IPv4 ? IPAddress.Any : IPAddress.IPv6Any, 0));
                SourcePort = (ushort)((IPEndPoint)_udp.LocalEndPoint!).Port;
                Set(_icmp, (int)(family == Family.IPv4 ? SocketOptionLevel.IP : SocketOptionLevel.IPv6), family == Family.IPv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE);
                Filter();
            }
            catch
            {
                _udp.Dispose();
                throw;
            }
        }
        catch
        {
            _icmp.Dispose();
            throw;
        }
    }

    /// <summary>Of every datagram.</summary>
    public ushort SourcePort { get; }

    /// <summary>Opens them in this thread's network namespace; null when the machine has not this family.</summary>
    /// <exception cref="SocketException">They are refused: raw sockets need CAP_NET_RAW.</exception>
    public static ProbeSockets? Open(Family family)
    {
        try
        {
            return new(family);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressFamilyNotSupported or SocketError.AddressNotAvailable)
        {
            return null;
        }
    }

    /// <summary>Sends an echo request that must not be fragmented.</summary>
    /// <returns>Whether the kernel took it.</returns>
    public bool SendEcho(InetAddress to, ushort sequence, int length) => TrySend(_icmp, ProbePacket.EchoRequest(_family, _identifier, sequence, length), EndPoint(to, 0));

    /// <summary>Sends both datagrams.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="swapped">Which is sent to which port.</param>
    public void SendDatagrams(InetAddress to, bool swapped)
    {
        ReadOnlySpan<byte> data = "overlay"u8;
        // One at a time: what another try sends meanwhile would be corked with it.
        lock (_udp)
        {
            TrySend(_udp, data, EndPoint(to, Ports[swapped ? 1 : 0]));
            Set(_udp, (int)SocketOptionLevel.Udp, UDP_CORK, 1);
            TrySend(_udp, data, EndPoint(to, Ports[swapped ? 0 : 1]));
            try
            {
                Set(_udp, (int)SocketOptionLevel.Udp, UDP_CORK, 0);
            }
            catch (SocketException)
            {
                // Only now is it sent; what cannot be is not answered either.
            }
        }
    }

    /// <summary>Whether a refused datagram is one of the two, and which.</summary>
    /// <param name="refused">The answer.</param>
    /// <param name="swapped">As they were sent.</param>
    /// <returns>True: the one whose checksum was left to the device; false: the other; null: neither.</returns>
    public bool? IsLeft(ProbeAnswer.Refused refused, bool swapped) =>
        refused.SourcePort != SourcePort || Array.IndexOf(Ports, refused.DestinationPort) is not (>= 0 and var port) ? null : port == (swapped ? 1 : 0);

    /// <summary>Whether an echo reply is to one of ours.</summary>
    public bool IsOurs(ProbeAnswer.Echo echo) => echo.Identifier == _identifier;

    /// <summary>Hands over what comes, until cancelled.</summary>
    public async Task ReceiveAsync(Action<InetAddress, ProbeAnswer> take, CancellationToken stop)
    {
        var buffer = new byte[ushort.MaxValue];
        var from = new SocketAddress(_icmp.AddressFamily);
        while (true)
        {
            int length;
            try
            {
                length = await _icmp.ReceiveFromAsync(buffer, SocketFlags.None, from, stop).ConfigureAwait(false);
            }
            catch (SocketException)
            {
                continue; // an error of an earlier packet, told here
            }

            var source = InetAddress.FromBytes(_family == Family.IPv4 ? from.Buffer.Span.Slice(AddressOffset4, 4) : from.Buffer.Span.Slice(AddressOffset6, 16));
            if (ProbePacket.Read(source, buffer.AsSpan(0, length)) is { } answer)
                take(source, answer);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _icmp.Dispose();
        _udp.Dispose();
    }

    // A socket gets all ICMP of the machine: only echo replies and unreachables.
    private void Filter()
    {
        if (_family == Family.IPv4)
        {
            Set(_icmp, SOL_RAW, ICMP_FILTER, ~(1 << 0 | 1 << 3));
            return;
        }

        var blocked = new byte[32];
        blocked.AsSpan().Fill(0xff);
        foreach (var type in (int[])[1, 129])
        {
            var word = blocked.AsSpan(type / 32 * 4, 4);
            BinaryPrimitives.WriteUInt32LittleEndian(word, BinaryPrimitives.ReadUInt32LittleEndian(word) & ~(1u << (type % 32)));
        }

        _icmp.SetRawSocketOption(IPPROTO_ICMPV6, ICMPV6_FILTER, blocked);
    }

    private static bool TrySend(Socket socket, ReadOnlySpan<byte> bytes, SocketAddress to)
    {
        try
        {
            socket.SendTo(bytes, SocketFlags.None, to);
            return true;
        }
        catch (SocketException)
        {
            return false; // no way there, say: it comes to the same as no answer
        }
    }

    private static void Set(Socket socket, int level, int name, int value) => socket.SetRawSocketOption(level, name, BitConverter.GetBytes(value));

    private static SocketAddress EndPoint(InetAddress address, int port) => new IPEndPoint(address.ToIPAddress(), port).Serialize();
}
