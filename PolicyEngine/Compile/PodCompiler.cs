using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>What becomes of a pod's packets in one direction.</summary>
/// <param name="Verdict">The verdict under its addresses in the dispatch map.</param>
/// <param name="Chain">The chain that an isolated pod's verdict goes to; null for a pod that is not isolated. Pods with the same policies share it.</param>
public readonly record struct Isolation(Verdict Verdict, Chain? Chain);

/// <summary>Compiles the policies that select a pod, together.</summary>
public static class PodCompiler
{
    /// <summary>What becomes of the packets of a pod.</summary>
    /// <param name="direction">Towards or from the pod.</param>
    /// <param name="policies">The policies that select it, by name.</param>
    /// <param name="options">Whether a pod without policy is isolated.</param>
    public static Isolation Compile(Direction direction, IEnumerable<CompiledPolicy> policies, RulesetOptions options)
    {
        var isolating = policies.Where(policy => policy.Policy.Rules(direction) is not null).ToList();
        if (isolating.Count == 0 && !options.IsolateByDefault)
            return new(Verdict.Accept, null);

        string[] chains = [.. isolating.Select(policy => policy.Chain(direction)?.Name).OfType<string>()];
        var name = ChainName.OfPods(direction, chains);
        Rule[] rules =
        [
            .. chains.Select(chain => new Rule([], [new Statement.Final(Verdict.Jump(chain))])),
            new Rule([], [new Statement.Counter(), new Statement.Final(Verdict.Drop)]),
        ];
        return new(Verdict.Goto(name), new(name, null, new(rules)));
    }
}
