using System.Text.Json;

namespace Overlay.Tests.Kernel;

/// <summary>What tests of bandwidth limits need: what a runtime asks for, and what tc(8) says of a device.</summary>
internal static class Shaping
{
    private static readonly Lazy<bool> Possible = new(Try);

    /// <summary>Whether this machine's kernel has all it takes.</summary>
    public static bool IsPossible => Possible.Value;

    /// <summary>What a runtime passes on for a pod that may receive and send as much.</summary>
    /// <param name="rate">Bits a second.</param>
    /// <param name="burst">Bits; 0 leaves it to the agent.</param>
    public static Dictionary<string, object> Of(long rate, long burst = 0) => new()
    {
        ["bandwidth"] = new { ingressRate = rate, ingressBurst = burst, egressRate = rate, egressBurst = burst },
    };

    /// <summary>The discipline through which a device sends, as <c>tc -s -j qdisc show</c> has it.</summary>
    public static JsonElement Root(NetnsFixture net, string device)
    {
        using var shown = JsonDocument.Parse(net.Run($"tc -s -j qdisc show dev {device} root"));
        return shown.RootElement[0].Clone();
    }

    private static bool Try()
    {
        using var net = NetnsFixture.Create();
        string[] commands =
        [
            "ip link add one type veth",
            "ip link add two type ifb",
            "tc qdisc add dev one root tbf rate 1mbit burst 10kb limit 20kb",
            "tc qdisc add dev one ingress",
            "tc filter add dev one parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev two",
        ];
        return commands.All(command => net.TryRun(command.Replace("one type veth", "one type veth")).ExitCode == 0);
    }
}
