using Overlay.Dataplane.Kernel;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Explain;

namespace Overlay.Dataplane.Operator;

/// <summary>Compares the live kernel with what a snapshot wants, on sockets of its own, and repairs nothing.</summary>
internal static class Verifier
{
    private const int Examples = 20;
    private const int ClassesBetweenLooks = 1024;

    /// <summary>Rules, sets, elements, routes, links, addresses, neighbours, forwarding entries, and whether the node forwards.</summary>
    /// <exception cref="Netlink.NetlinkException">The kernel could not be read.</exception>
    public static Verification Compare(NodeSnapshot snapshot)
    {
        using var kernel = NodeKernel.Open();
        kernel.Want(snapshot.Rows);
        var wanted = RulesetProjection.FromScratch(snapshot.State);
        var rows = snapshot.Rows;
        return new(
            snapshot.Node,
            [.. kernel.Nftables.Verify(wanted), .. kernel.Routing.Verify(), .. Forwarding.Verify()],
            new(
                wanted.Chains.Count,
                wanted.Chains.Values.Sum(chain => chain.Rules.Count),
                wanted.Sets.Count,
                wanted.Elements.Values.Sum(elements => elements.Count),
                rows.Links.Count + rows.Addresses.Count + rows.Neighbors.Count + rows.Fdb.Count + rows.Routes.Count),
            null);
    }

    /// <summary>The kernel's ruleset against the policies, on every class of packets. Takes seconds on a big cluster.</summary>
    /// <exception cref="Netlink.NetlinkException">The kernel could not be read.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    public static PolicyVerification Prove(NodeSnapshot snapshot, CancellationToken cancellation)
    {
        var ruleset = ReadRuleset();
        long classes = 0, disagreeing = 0;
        var examples = new List<string>();
        try
        {
            foreach (var verdict in PolicyProof.Run(snapshot.State, snapshot.Node, ruleset, snapshot.Devices, cancellation))
            {
                if (++classes % ClassesBetweenLooks == 0)
                    cancellation.ThrowIfCancellationRequested();
                if (verdict.Agrees)
                    continue;
                if (++disagreeing <= Examples)
                    examples.Add(verdict.ToString());
            }
        }
        catch (Exception exception) when (exception is NotSupportedException or InvalidOperationException)
        {
            disagreeing++;
            examples.Add($"the kernel's ruleset cannot be walked: {exception.Message}");
        }

        return new(classes, disagreeing, examples);
    }

    /// <summary>The ruleset as the kernel has it.</summary>
    /// <exception cref="Netlink.NetlinkException">It could not be read.</exception>
    public static KernelRuleset ReadRuleset()
    {
        using var kernel = NodeKernel.Open();
        return new(kernel.Nftables.Dump());
    }
}
