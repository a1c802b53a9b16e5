using System.CommandLine;
using System.CommandLine.Parsing;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cli;

/// <summary><c>overlay capture</c>: packets as they pass this node, with the names of pods and nodes.</summary>
internal static class CaptureCommand
{
    private const int LongestSnap = 262_144; // as tcpdump(8)

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<string?> pod = new("--pod") { Description = "the packets of one pod: at its interface; of a pod elsewhere those that go there and come from there", HelpName = "NAMESPACE/POD" };
        Option<bool> underlay = new("--underlay") { Description = "on the devices that carry packets between nodes, with the tunnels' own headers" };
        Option<string[]> interfaces = new("--interface", "-i") { Description = "on this device; may be given several times", HelpName = "DEVICE" };
        Option<string?> space = new("--namespace", "-n") { Description = "only packets from or to pods of this namespace", HelpName = "NAMESPACE" };
        Option<string?> protocol = new("--protocol") { Description = "only tcp, udp, sctp, icmp (of both families) or arp" };
        protocol.AcceptOnlyFromAmong("tcp", "udp", "sctp", "icmp", "arp");
        Option<ushort?> port = new("--port") { Description = "only packets from or to this port, and ICMP errors about them", HelpName = "PORT", CustomParser = Port };
        Option<string?> filter = new("--filter") { Description = "only packets that this filter of tcpdump's (pcap-filter(7)) lets pass; on the underlay it sees the outer headers. Needs libpcap", HelpName = "EXPRESSION" };
        Option<long?> count = new("--count", "-c") { Description = "end after so many packets", HelpName = "N", CustomParser = Count };
        Option<TimeSpan?> duration = new("--duration") { Description = "end after a time such as 30s, 10m or 1h", HelpName = "TIME", CustomParser = Duration };
        Option<string?> write = new("--write", "-w") { Description = "write the packets to a file that Wireshark and tcpdump read, and print none; - is standard output", HelpName = "FILE" };
        Option<int> snapLength = new("--snap-length", "-s") { Description = $"write no more than so many bytes of a packet (default {LongestSnap})", HelpName = "BYTES", DefaultValueFactory = _ => LongestSnap, CustomParser = SnapLength };
        var command = new Command(
            "capture",
            "Show packets as they pass this node, a line each, with the names of pods and nodes: on its tunnels, on the underlay (VXLAN and IP-in-IP are looked into), or of one pod. "
            + "Needs root or CAP_NET_RAW. Ctrl-C ends it; exits with 0 then. Works without an agent, too, but then knows the names of this node's pods at most.")
        {
            pod, underlay, interfaces, space, protocol, port, filter, count, duration, write, snapLength,
        };
        var question = AgentQuestion.AddTo(command);
        command.Validators.Add(result =>
        {
            if (result.GetValue(pod) is { } name && NameSearch.Parse(name) is null)
                result.AddError($"Option '--pod': '{name}' is not NAMESPACE/POD.");
            if (result.GetValue(protocol) is "icmp" or "arp" && result.GetValue(port) is not null)
                result.AddError($"Option '--port' makes no sense with --protocol {result.GetValue(protocol)}, which has no ports.");
        });
        command.SetAction((result, cancellation) => question.Configuration(result) is not { } configuration
            ? Task.FromResult(ExitCode.Usage)
            : new CaptureRun(configuration, result.InvocationConfiguration.Error)
            {
                Pod = result.GetValue(pod),
                Underlay = result.GetValue(underlay),
                Interfaces = result.GetValue(interfaces) ?? [],
                Filter = new() { Protocol = result.GetValue(protocol), Port = result.GetValue(port), Namespace = result.GetValue(space) },
                Expression = result.GetValue(filter),
                Count = result.GetValue(count) ?? long.MaxValue,
                Duration = result.GetValue(duration),
                File = result.GetValue(write),
                SnapLength = result.GetValue(snapLength),
                Json = question.IsJson(result),
            }.RunAsync(cancellation));
        return command;
    }

    private static ushort? Port(ArgumentResult result) =>
        Number(result, 1, ushort.MaxValue, "no port: a number from 1 to 65535") is { } port ? (ushort)port : null;

    private static long? Count(ArgumentResult result) => Number(result, 1, long.MaxValue, "no count: a number from 1 on");

    private static int SnapLength(ArgumentResult result) => (int)(Number(result, 64, LongestSnap, $"no length: a number from 64 to {LongestSnap}") ?? LongestSnap);

    private static TimeSpan? Duration(ArgumentResult result)
    {
        var time = ConfigurationKey.Time(result.Tokens[0].Value);
        if (time is null || time < TimeSpan.FromSeconds(1))
            result.AddError($"Option '--duration': '{result.Tokens[0].Value}' is no time such as 30s, 10m or 1h.");
        return time;
    }

    private static long? Number(ArgumentResult result, long least, long most, string wrong)
    {
        var text = result.Tokens[0].Value;
        if (text.All(char.IsAsciiDigit) && long.TryParse(text, out var number) && number >= least && number <= most)
            return number;
        result.AddError($"Option '{(result.Parent as OptionResult)?.Option.Name}': '{text}' is {wrong}.");
        return null;
    }
}
