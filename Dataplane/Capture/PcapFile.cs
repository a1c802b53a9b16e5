using System.Buffers.Binary;

namespace Overlay.Dataplane.Capture;

/// <summary>
/// Bytes of the classic pcap format (draft-ietf-opsawg-pcap) with nanoseconds. Records are "Linux cooked v2" (LINKTYPE_LINUX_SLL2): one file holds packets of devices with and
/// without Ethernet, with device and direction. Wireshark reads it from 3.4 on, tcpdump from 4.99. Pure.
/// </summary>
internal static class PcapFile
{
    /// <summary>LINKTYPE_LINUX_SLL2 of tcpdump.org's list.</summary>
    public const int LinkType = 276;

    private const uint Magic = 0xa1b23c4d; // with nanoseconds
    private const int RecordHeader = 16;
    private const int CookedHeader = 20;

    /// <summary>What a file begins with.</summary>
    /// <param name="snapLength">No more of a packet is in it, bytes.</param>
    public static byte[] Header(int snapLength)
    {
        var header = new byte[24];
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(4), 2); // version 2.4
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(6), 4);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(16), snapLength + CookedHeader);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(20), LinkType);
        return header;
    }

    /// <summary>One packet.</summary>
    public static byte[] Record(Frame frame)
    {
        var record = new byte[RecordHeader + CookedHeader + frame.Bytes.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(record, (uint)(frame.Time / 1_000_000_000));
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(4), (uint)(frame.Time % 1_000_000_000));
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(8), frame.Bytes.Length + CookedHeader);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(12), frame.Length + CookedHeader);
        var cooked = record.AsSpan(RecordHeader);
        BinaryPrimitives.WriteUInt16BigEndian(cooked, frame.EtherType);
        BinaryPrimitives.WriteInt32BigEndian(cooked[4..], frame.Index);
        BinaryPrimitives.WriteUInt16BigEndian(cooked[8..], frame.HardwareType);
        cooked[10] = frame.PacketType;
        cooked[11] = (byte)frame.LinkAddress.Length;
        frame.LinkAddress.CopyTo(cooked[12..]);
        frame.Bytes.CopyTo(cooked[CookedHeader..]);
        return record;
    }

    /// <summary>The packet of a record, as a filter for <see cref="LinkType"/> takes it.</summary>
    public static ReadOnlySpan<byte> Packet(byte[] record) => record.AsSpan(RecordHeader);
}
