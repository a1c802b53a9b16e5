using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.NftaSet;
using static Overlay.Dataplane.Netlink.Netfilter.NftaSetDesc;
using static Overlay.Dataplane.Netlink.Netfilter.NftaSetField;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFT_MSG_*SET: a set or map of our table, without its elements.</summary>
/// <param name="Name">NFTA_SET_NAME.</param>
/// <param name="Flags">NFTA_SET_FLAGS.</param>
/// <param name="KeyType">NFTA_SET_KEY_TYPE: nft's type numbers of the parts, 6 bits each. Means nothing to the kernel.</param>
/// <param name="KeyLength">NFTA_SET_KEY_LEN, in bytes.</param>
/// <param name="DataType">NFTA_SET_DATA_TYPE: NFT_DATA_VERDICT in a verdict map, nft's type numbers of the parts in a map to endpoints, 0 in a set.</param>
/// <param name="Fields">NFTA_SET_DESC_CONCAT: bytes of each part of the key of a concatenation with ranges; else empty.</param>
public sealed record SetMessage(string Name, NftSetFlags Flags, uint KeyType, uint KeyLength, uint DataType, EquatableArray<byte> Fields)
{
    /// <summary>NFT_DATA_VERDICT (linux/netfilter/nf_tables.h).</summary>
    public const uint NFT_DATA_VERDICT = 0xffffff00;

    private const int TypeBits = 6;

    /// <summary>Whether elements are ranges that one element begins and another ends (rbtree).</summary>
    internal bool HasEndElements => Flags.HasFlag(NftSetFlags.NFT_SET_INTERVAL) && !Flags.HasFlag(NftSetFlags.NFT_SET_CONCAT);

    /// <summary>The message of a wanted set.</summary>
    public static SetMessage Of(Set set)
    {
        ArgumentNullException.ThrowIfNull(set);
        var flags = NftSetFlags.None;
        if (set.IsInterval)
            flags |= NftSetFlags.NFT_SET_INTERVAL;
        if (set.IsMap)
            flags |= NftSetFlags.NFT_SET_MAP;

        // nft 1.0.6 calls a concatenation by its name only when it has ranges; the kernel picks pipapo by it and hashes the others.
        var ranges = set.IsInterval && set.Key.Count > 1;
        if (ranges)
            flags |= NftSetFlags.NFT_SET_CONCAT;
        return new(
            set.Name,
            flags,
            TypeOf(set.Key),
            (uint)set.KeyLength,
            set.IsVerdictMap ? NFT_DATA_VERDICT : set.EndpointFamily is { } family ? TypeOf(EndpointParts(family)) : 0,
            ranges ? set.Key.Select(part => (byte)part.Length()).ToEquatableArray() : []);
    }

    /// <summary>The set as PolicyEngine says it; null when it never says such a thing.</summary>
    public Set? ToSet()
    {
        var parts = new List<DataType>();
        for (var types = KeyType; types > 0; types >>= TypeBits)
            parts.Insert(0, (DataType)(types & ((1 << TypeBits) - 1)));
        var set = new Set(Name, parts.ToEquatableArray(), Flags.HasFlag(NftSetFlags.NFT_SET_INTERVAL), DataType == NFT_DATA_VERDICT)
        {
            EndpointFamily = FamilyFacts.Both.Where(family => TypeOf(EndpointParts(family)) == DataType).Select(family => (Family?)family).FirstOrDefault(),
        };
        return Of(set) == this ? set : null;
    }

    /// <summary>Equivalent to: <c>nft add set inet overlay NAME { type …; flags …; }</c>, or <c>add map</c>.</summary>
    /// <param name="batch">Where to.</param>
    /// <param name="model">What it is the message of.</param>
    /// <param name="id">Any number: a set without one is refused, though only nameless sets are found by it.</param>
    internal void WriteNew(Batch batch, Set model, uint id)
    {
        var writer = batch.Writer;
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_NEWSET, NlmF.NLM_F_CREATE, new(NftObjectKind.Set, Name, model));
        WriteName(writer, Name);
        writer.UInt32BigEndian(NFTA_SET_FLAGS, (uint)Flags);
        writer.UInt32BigEndian(NFTA_SET_KEY_TYPE, KeyType);
        writer.UInt32BigEndian(NFTA_SET_KEY_LEN, KeyLength);
        if (DataType != 0)
        {
            writer.UInt32BigEndian(NFTA_SET_DATA_TYPE, DataType);
            writer.UInt32BigEndian(NFTA_SET_DATA_LEN, model.EndpointFamily is { } family ? (uint)EndpointParts(family).Sum(part => part.RegisterLength()) : 0);
        }
        writer.UInt32BigEndian(NFTA_SET_ID, id);
        if (Fields.Count > 0)
            WriteFields(writer);
        writer.Bytes(NFTA_SET_USERDATA, NftnlUdata.Of(model));
        batch.EndMessage(message);
    }

    /// <summary>Equivalent to: <c>nft delete set inet overlay NAME</c>, with its elements. No rule may refer to it.</summary>
    internal static void WriteDelete(Batch batch, string name)
    {
        var message = batch.BeginMessage(NftMsgType.NFT_MSG_DELSET, NlmF.None, new(NftObjectKind.Set, name));
        WriteName(batch.Writer, name);
        batch.EndMessage(message);
    }

    /// <summary>Asks for the sets of our table.</summary>
    internal static void WriteDump(NetlinkWriter writer, uint sequence)
    {
        var message = writer.BeginMessage(NftMsgType.NFT_MSG_GETSET, NlmF.NLM_F_DUMP, sequence);
        writer.String(NFTA_SET_TABLE, Ruleset.Table);
        writer.EndMessage(message);
    }

    /// <summary>Collects the named sets of our table; nameless ones belong to a rule, and differ when it does.</summary>
    internal static void Read(NetlinkMessage message, List<SetMessage> rows)
    {
        var table = "";
        var read = new SetMessage("", NftSetFlags.None, 0, 0, 0, []);
        foreach (var attribute in Nfnetlink.Attributes(message))
            switch (attribute.Type)
            {
                case NFTA_SET_TABLE:
                    table = attribute.String;
                    break;
                case NFTA_SET_NAME:
                    read = read with { Name = attribute.String };
                    break;
                case NFTA_SET_FLAGS:
                    read = read with { Flags = (NftSetFlags)attribute.UInt32BigEndian };
                    break;
                case NFTA_SET_KEY_TYPE:
                    read = read with { KeyType = attribute.UInt32BigEndian };
                    break;
                case NFTA_SET_KEY_LEN:
                    read = read with { KeyLength = attribute.UInt32BigEndian };
                    break;
                case NFTA_SET_DATA_TYPE:
                    read = read with { DataType = attribute.UInt32BigEndian };
                    break;
                case NFTA_SET_DESC:
                    read = read with { Fields = ReadFields(attribute) };
                    break;
            }
        if (table == Ruleset.Table && Nfnetlink.IsInet(message) && !read.Flags.HasFlag(NftSetFlags.NFT_SET_ANONYMOUS))
            rows.Add(read);
    }

    private static DataType[] EndpointParts(Family family) => [family.AddressType(), Overlay.PolicyEngine.Nftables.DataType.InetService];

    private static uint TypeOf(IEnumerable<DataType> parts) => parts.Aggregate(0u, (type, part) => type << TypeBits | (uint)part);

    private void WriteFields(NetlinkWriter writer)
    {
        var description = writer.BeginNest(NFTA_SET_DESC.Nested());
        var concatenation = writer.BeginNest(NFTA_SET_DESC_CONCAT.Nested());
        foreach (var length in Fields)
        {
            var field = writer.BeginNest(NftaList.NFTA_LIST_ELEM.Nested());
            writer.UInt32BigEndian(NFTA_SET_FIELD_LEN, length);
            writer.EndNest(field);
        }
        writer.EndNest(concatenation);
        writer.EndNest(description);
    }

    private static EquatableArray<byte> ReadFields(NetlinkAttribute description)
    {
        var lengths = new List<byte>();
        foreach (var attribute in description.Nested)
            if (attribute.Type == NFTA_SET_DESC_CONCAT)
                foreach (var field in attribute.Nested)
                    foreach (var length in field.Nested)
                        if (length.Type == NFTA_SET_FIELD_LEN)
                            lengths.Add((byte)length.UInt32BigEndian);
        return lengths.ToEquatableArray();
    }

    private static void WriteName(NetlinkWriter writer, string name)
    {
        writer.String(NFTA_SET_TABLE, Ruleset.Table);
        writer.String(NFTA_SET_NAME, name);
    }
}
