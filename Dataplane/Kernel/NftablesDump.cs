using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>A chain in the kernel.</summary>
/// <param name="Chain">Without its rules.</param>
/// <param name="Rules">In order.</param>
public sealed record KernelChain(ChainMessage Chain, EquatableArray<RuleMessage> Rules);

/// <summary>All that the kernel has in <c>table inet overlay</c>, as of one moment.</summary>
/// <param name="Generation">The ruleset's generation at that moment; any transaction, also another table's, makes a new one.</param>
/// <param name="Table">Null when there is no such table.</param>
/// <param name="Chains">By name.</param>
/// <param name="Sets">Named sets and maps by name.</param>
/// <param name="Elements">By the name of their set; every set has an entry.</param>
public sealed record NftablesDump(
    uint Generation,
    TableMessage? Table,
    IReadOnlyDictionary<string, KernelChain> Chains,
    IReadOnlyDictionary<string, SetMessage> Sets,
    IReadOnlyDictionary<string, IReadOnlyCollection<Element>> Elements)
{
    private const int Attempts = 10;

    /// <summary>Reads the table, again when a transaction was committed meanwhile.</summary>
    /// <exception cref="NetlinkException">The kernel refused; or the ruleset changed during each of ten readings (EINTR).</exception>
    public static NftablesDump Read(NetlinkSocket socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var generation = GenerationMessage.Query(socket);
            try
            {
                var dump = Read(socket, generation);
                if (GenerationMessage.Query(socket) == generation)
                    return dump;
            }
            catch (NetlinkException exception) when (exception.Errno == Errno.ENOENT)
            {
                // What an earlier answer named is gone by now.
            }
        }
        throw new NetlinkException(Errno.EINTR, "nft list table inet overlay", $"the ruleset changed during each of {Attempts} readings");
    }

    private static NftablesDump Read(NetlinkSocket socket, uint generation)
    {
        var tables = Query<TableMessage>(socket, TableMessage.WriteDump, TableMessage.Read, "NFT_MSG_GETTABLE");
        if (tables.Count == 0)
            return new(generation, null, Empty<KernelChain>(), Empty<SetMessage>(), Empty<IReadOnlyCollection<Element>>());
        var chains = Query<ChainMessage>(socket, ChainMessage.WriteDump, ChainMessage.Read, "NFT_MSG_GETCHAIN");
        var rules = Query<RuleMessage>(socket, RuleMessage.WriteDump, RuleMessage.Read, "NFT_MSG_GETRULE").ToLookup(rule => rule.Chain);
        var sets = Query<SetMessage>(socket, SetMessage.WriteDump, SetMessage.Read, "NFT_MSG_GETSET");
        return new(
            generation,
            tables[0],
            chains.ToDictionary(chain => chain.Name, chain => new KernelChain(chain, rules[chain.Name].ToEquatableArray())),
            sets.ToDictionary(set => set.Name),
            sets.ToDictionary(set => set.Name, set => ElementsOf(socket, set)));
    }

    private static IReadOnlyCollection<Element> ElementsOf(NetlinkSocket socket, SetMessage set)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var found = Query<KernelElement>(
                socket, (writer, sequence) => SetElementMessage.WriteDump(writer, set.Name, sequence), SetElementMessage.Read, $"NFT_MSG_GETSETELEM {set.Name}");
            if (set.HasEndElements)
                return Interval.Ranges((int)set.KeyLength, found);
            var elements = found.Select(element => element.ToElement()).ToHashSet();

            // A hash table that has grown is rearranged in the background. Of a dump meanwhile the kernel counts, but does not remember, what it has
            // sent: some elements come twice and as many others not at all.
            if (elements.Count == found.Count)
                return elements;
        }
        throw new NetlinkException(Errno.EINTR, $"nft list set inet overlay {set.Name}", $"its table was being rearranged during each of {Attempts} readings");
    }

    private static List<T> Query<T>(NetlinkSocket socket, Action<NetlinkWriter, uint> write, NetlinkCollector<T> collect, string operation)
    {
        using var question = new NetlinkWriter();
        write(question, socket.NextSequence());
        return socket.Query(question, collect, operation);
    }

    private static Dictionary<string, T> Empty<T>() => [];
}
