using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.NftaData;
using static Overlay.Dataplane.Netlink.Netfilter.NftaVerdict;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NF_*: verdicts of the packet (linux/netfilter.h) and, below zero, NFT_*: those of nf_tables (<c>enum nft_verdicts</c>).</summary>
public enum NftVerdicts
{
    NF_DROP = 0,
    NF_ACCEPT = 1,
    NFT_CONTINUE = -1,
    NFT_BREAK = -2,
    NFT_JUMP = -3,
    NFT_GOTO = -4,
    NFT_RETURN = -5,
}

/// <summary>nft_data: what an expression compares with or loads, and what a map holds: bytes, or a verdict.</summary>
internal static class NftData
{
    internal static void Write(NetlinkWriter writer, ushort type, ReadOnlySpan<byte> value)
    {
        var data = writer.BeginNest(type.Nested());
        writer.Bytes(NFTA_DATA_VALUE, value);
        writer.EndNest(data);
    }

    internal static void Write(NetlinkWriter writer, ushort type, Verdict verdict)
    {
        var data = writer.BeginNest(type.Nested());
        var nest = writer.BeginNest(NFTA_DATA_VERDICT.Nested());
        writer.UInt32BigEndian(NFTA_VERDICT_CODE, (uint)CodeOf(verdict.Kind));
        if (verdict.Chain is not null)
            writer.String(NFTA_VERDICT_CHAIN, verdict.Chain);
        writer.EndNest(nest);
        writer.EndNest(data);
    }

    /// <summary>An address and a port, each padded to whole registers, as an element of a map to endpoints has them.</summary>
    internal static void Write(NetlinkWriter writer, ushort type, Endpoint endpoint)
    {
        Span<byte> bytes = stackalloc byte[ElementKey.MaxLength];
        var value = ElementKey.Of(endpoint.Address).And(endpoint.Port);
        value.WriteTo(bytes);
        Write(writer, type, bytes[..value.Length]);
    }

    /// <summary>The bytes; empty when it is a verdict.</summary>
    internal static ReadOnlySpan<byte> Value(NetlinkAttribute data)
    {
        foreach (var attribute in data.Nested)
            if (attribute.Type == NFTA_DATA_VALUE)
                return attribute.Value;
        return [];
    }

    /// <summary>The verdict; null when it is a value.</summary>
    internal static Verdict? Verdict(NetlinkAttribute data)
    {
        foreach (var attribute in data.Nested)
            if (attribute.Type == NFTA_DATA_VERDICT)
                return ReadVerdict(attribute.Nested);
        return null;
    }

    /// <summary>The address and port; null when it is a verdict, or a value of another length.</summary>
    internal static Endpoint? Endpoint(NetlinkAttribute data)
    {
        const int port = sizeof(uint);
        var value = Value(data);
        return value.Length is 4 + port or 16 + port
            ? new(InetAddress.FromBytes(value[..^port]), BinaryPrimitives.ReadUInt16BigEndian(value[^port..]))
            : null;
    }

    /// <summary>As libnftnl prints bytes: the 32-bit words of the registers in the host's byte order, <c>0x006c766f</c>.</summary>
    internal static string Print(ReadOnlySpan<byte> value)
    {
        var text = new StringBuilder();
        Span<byte> word = stackalloc byte[4];
        for (var offset = 0; offset < value.Length; offset += 4)
        {
            word.Clear();
            value[offset..Math.Min(offset + 4, value.Length)].CopyTo(word);
            text.Append(CultureInfo.InvariantCulture, $"{(offset > 0 ? " " : "")}0x{BitConverter.ToUInt32(word):x8}");
        }
        return text.ToString();
    }

    /// <summary>As libnftnl prints verdicts: <c>goto -> ingress</c>.</summary>
    internal static string Print(Verdict verdict) =>
        verdict.Chain is null ? verdict.ToString() : $"{verdict.Kind.ToString().ToLowerInvariant()} -> {verdict.Chain}";

    internal static EquatableArray<byte> Of(uint number) => new(BitConverter.GetBytes(number));

    private static Verdict ReadVerdict(NetlinkAttributes attributes)
    {
        var code = 0;
        string? chain = null;
        foreach (var attribute in attributes)
            switch (attribute.Type)
            {
                case NFTA_VERDICT_CODE:
                    code = (int)attribute.UInt32BigEndian;
                    break;
                case NFTA_VERDICT_CHAIN:
                    chain = attribute.String;
                    break;
            }
        return new(KindOf(code), chain);
    }

    private static NftVerdicts CodeOf(VerdictKind kind) => kind switch
    {
        VerdictKind.Accept => NftVerdicts.NF_ACCEPT,
        VerdictKind.Drop => NftVerdicts.NF_DROP,
        VerdictKind.Return => NftVerdicts.NFT_RETURN,
        VerdictKind.Continue => NftVerdicts.NFT_CONTINUE,
        VerdictKind.Jump => NftVerdicts.NFT_JUMP,
        VerdictKind.Goto => NftVerdicts.NFT_GOTO,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Not a verdict that is ever wanted."),
    };

    // Verdicts that are never ours (queue, steal …) keep their low bits as a number outside the enum: unequal to all that is wanted.
    private static VerdictKind KindOf(int code) => (NftVerdicts)code switch
    {
        NftVerdicts.NF_ACCEPT => VerdictKind.Accept,
        NftVerdicts.NF_DROP => VerdictKind.Drop,
        NftVerdicts.NFT_RETURN => VerdictKind.Return,
        NftVerdicts.NFT_CONTINUE => VerdictKind.Continue,
        NftVerdicts.NFT_JUMP => VerdictKind.Jump,
        NftVerdicts.NFT_GOTO => VerdictKind.Goto,
        _ => (VerdictKind)(0x80 | code & 0x7f),
    };
}
