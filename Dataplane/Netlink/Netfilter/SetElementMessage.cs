using Overlay.PolicyEngine.Nftables;
using static Overlay.Dataplane.Netlink.Netfilter.NftaSetElem;
using static Overlay.Dataplane.Netlink.Netfilter.NftaSetElemList;

namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>One NFTA_LIST_ELEM of a NFT_MSG_*SETELEM, as the kernel has it: of a range in an rbtree only one end.</summary>
/// <param name="Key">NFTA_SET_ELEM_KEY; empty for the element that catches all.</param>
/// <param name="KeyEnd">NFTA_SET_ELEM_KEY_END: last key of a range in a concatenation.</param>
/// <param name="Verdict">NFTA_SET_ELEM_DATA that is a verdict.</param>
/// <param name="IsIntervalEnd">NFT_SET_ELEM_INTERVAL_END: the range before ends below this key.</param>
internal readonly record struct KernelElement(ElementKey Key, ElementKey? KeyEnd, Verdict? Verdict, bool IsIntervalEnd)
{
    /// <summary>NFTA_SET_ELEM_DATA that is an address and a port.</summary>
    internal Endpoint? Endpoint { get; init; }

    /// <summary>A plain element, or one of a concatenation with ranges.</summary>
    internal Element ToElement() => new(Key, KeyEnd ?? Key, Verdict) { Endpoint = Endpoint };

    /// <exception cref="NetlinkFormatException">A key is longer than any of ours, or the bytes are no attributes.</exception>
    internal static KernelElement Read(NetlinkAttributes attributes)
    {
        var read = default(KernelElement);
        foreach (var attribute in attributes)
            switch (attribute.Type)
            {
                case NFTA_SET_ELEM_KEY:
                    read = read with { Key = ReadKey(attribute) };
                    break;
                case NFTA_SET_ELEM_KEY_END:
                    read = read with { KeyEnd = ReadKey(attribute) };
                    break;
                case NFTA_SET_ELEM_DATA:
                    read = read with { Verdict = NftData.Verdict(attribute), Endpoint = NftData.Endpoint(attribute) };
                    break;
                case NFTA_SET_ELEM_FLAGS:
                    read = read with { IsIntervalEnd = ((NftSetElemFlags)attribute.UInt32BigEndian).HasFlag(NftSetElemFlags.NFT_SET_ELEM_INTERVAL_END) };
                    break;
            }
        return read;
    }

    private static ElementKey ReadKey(NetlinkAttribute key)
    {
        var bytes = NftData.Value(key);
        return bytes.Length <= ElementKey.MaxLength
            ? ElementKey.FromBytes(bytes)
            : throw new NetlinkFormatException($"A set element has a key of {bytes.Length} bytes; ours have at most {ElementKey.MaxLength}.");
    }
}

/// <summary>NFT_MSG_*SETELEM: elements of a set of our table.</summary>
internal static class SetElementMessage
{
    // A nest holds 65,535 bytes; no element is longer than two keys and a verdict with a chain's name.
    private const int FullNest = 64_000;

    /// <summary>Equivalent to: <c>nft add element inet overlay SET { … }</c>, in as many messages as it takes.</summary>
    internal static void WriteNew(Batch batch, Set set, IEnumerable<Element> elements) =>
        Write(batch, NftMsgType.NFT_MSG_NEWSETELEM, NlmF.NLM_F_CREATE, set, elements);

    /// <summary>Equivalent to: <c>nft delete element inet overlay SET { … }</c>. Every one of them must be there.</summary>
    internal static void WriteDelete(Batch batch, Set set, IEnumerable<Element> elements) =>
        Write(batch, NftMsgType.NFT_MSG_DELSETELEM, NlmF.None, set, elements);

    /// <summary>Asks for the elements of a set.</summary>
    internal static void WriteDump(NetlinkWriter writer, string set, uint sequence)
    {
        var message = writer.BeginMessage(NftMsgType.NFT_MSG_GETSETELEM, NlmF.NLM_F_DUMP, sequence);
        WriteName(writer, set);
        writer.EndMessage(message);
    }

    /// <summary>Collects elements.</summary>
    internal static void Read(NetlinkMessage message, List<KernelElement> rows)
    {
        foreach (var attribute in Nfnetlink.Attributes(message))
            if (attribute.Type == NFTA_SET_ELEM_LIST_ELEMENTS)
                foreach (var element in attribute.Nested)
                    rows.Add(KernelElement.Read(element.Nested));
    }

    /// <summary>The element that a failure points at: the bytes of its NFTA_LIST_ELEM; null when it points at something else.</summary>
    internal static Element? ReadElement(ReadOnlySpan<byte> attribute) =>
        attribute.Length > 4 && BitConverter.ToUInt16(attribute[2..]) == NftaList.NFTA_LIST_ELEM.Nested()
            ? KernelElement.Read(new NetlinkAttributes(attribute[4..])).ToElement()
            : null;

    private static void Write(Batch batch, NftMsgType type, NlmF flags, Set set, IEnumerable<Element> elements)
    {
        var writer = batch.Writer;
        var withData = type == NftMsgType.NFT_MSG_NEWSETELEM;
        NetlinkMark? message = null;
        var list = default(NetlinkMark);
        foreach (var element in elements)
        {
            if (message is { } full && writer.NestLength(list) > FullNest)
            {
                writer.EndNest(list);
                batch.EndMessage(full);
                message = null;
            }
            if (message is null)
            {
                message = batch.BeginMessage(type, flags, new(NftObjectKind.Element, set.Name, set));
                WriteName(writer, set.Name);
                list = writer.BeginNest(NFTA_SET_ELEM_LIST_ELEMENTS.Nested());
            }
            Write(writer, set, element, withData);
        }
        if (message is { } last)
        {
            writer.EndNest(list);
            batch.EndMessage(last);
        }
    }

    private static void Write(NetlinkWriter writer, Set set, Element element, bool withData)
    {
        var open = BeginElement(writer);
        if (element.Key.Length == 0)
            writer.UInt32BigEndian(NFTA_SET_ELEM_FLAGS, (uint)NftSetElemFlags.NFT_SET_ELEM_CATCHALL);
        else
            WriteKey(writer, NFTA_SET_ELEM_KEY, set, element.Key);
        var ended = set is { IsInterval: true, Key.Count: 1 } && element.Key.Length > 0;
        if (set is { IsInterval: true, Key.Count: > 1 } && element.Key.Length > 0)
            WriteKey(writer, NFTA_SET_ELEM_KEY_END, set, element.Last);
        if (withData && element.Verdict is { } verdict)
            NftData.Write(writer, NFTA_SET_ELEM_DATA, verdict);
        if (withData && element.Endpoint is { } endpoint)
            NftData.Write(writer, NFTA_SET_ELEM_DATA, endpoint);
        ElementKey end = default;
        var endless = ended && !Interval.TryNext(set.KeyLength, element.Last, out end);
        if (endless && withData)
            writer.Bytes(NFTA_SET_ELEM_USERDATA, NftnlUdata.OpenInterval);
        writer.EndNest(open);
        if (!ended || endless)
            return;
        open = BeginElement(writer);
        writer.UInt32BigEndian(NFTA_SET_ELEM_FLAGS, (uint)NftSetElemFlags.NFT_SET_ELEM_INTERVAL_END);
        WriteKey(writer, NFTA_SET_ELEM_KEY, set, end);
        writer.EndNest(open);
    }

    private static NetlinkMark BeginElement(NetlinkWriter writer) => writer.BeginNest(NftaList.NFTA_LIST_ELEM.Nested());

    private static void WriteKey(NetlinkWriter writer, ushort type, Set set, ElementKey key)
    {
        Span<byte> bytes = stackalloc byte[ElementKey.MaxLength];
        key.WriteTo(bytes);
        NftData.Write(writer, type, bytes[..set.KeyLength]);
    }

    private static void WriteName(NetlinkWriter writer, string set)
    {
        writer.String(NFTA_SET_ELEM_LIST_TABLE, Ruleset.Table);
        writer.String(NFTA_SET_ELEM_LIST_SET, set);
    }
}
