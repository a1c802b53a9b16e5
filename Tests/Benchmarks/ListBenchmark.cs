using System.Globalization;
using System.Text.Json.Nodes;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// What an agent costs that lists a large cluster from an API server: memory at its largest, CPU, and the same for a small cluster in the same run. Pods look as they do in clusters: 5 KB each, most of it
/// managedFields. <c>./build.ps1 bench list</c> measures the native program; the suite runs it with few pods, to keep it working.
/// </summary>
public class ListBenchmark
{
    private const int Nodes = 500;
    private static readonly bool IsBench = Environment.GetEnvironmentVariable("OVERLAY_BENCH") == "1";
    private static readonly int[] Counts = IsBench ? [500, 50_000] : [20];

    [TestCaseSource(nameof(Counts))]
    public async Task Memory_and_CPU_of_an_agent_that_lists_pods(int pods)
    {
        await using var cluster = await ApiCluster.CreateAsync("fake");
        var bytes = 0L;
        for (var i = 3; IsBench && i <= Nodes; i++)
            cluster.Fake!.PutYaml($$"""
                apiVersion: v1
                kind: Node
                metadata: { name: node-{{i}} }
                spec: { podCIDRs: [10.{{50 + (i / 256)}}.{{i % 256}}.0/24] }
                status: { addresses: [{ type: InternalIP, address: 192.168.{{8 + (i / 250)}}.{{1 + (i % 250)}} }] }
                """);
        for (var i = 0; i < pods; i++)
        {
            var pod = Pod(i);
            bytes += pod.ToJsonString().Length;
            cluster.Fake!.Put(pod);
        }

        var node = cluster.Nodes.Nodes[0];
        node.BeginAgent();
        TestCluster.Eventually(() => node.Log.Contains("this node forwards and enforces", StringComparison.Ordinal), "the agent serves", () => node.Log);
        var status = File.ReadAllLines($"/proc/{node.AgentId}/status").Where(line => line.StartsWith("Vm", StringComparison.Ordinal)).Select(line => line.Split(':', StringSplitOptions.TrimEntries)).ToDictionary(line => line[0], line => line[1]);
        var ticks = File.ReadAllText($"/proc/{node.AgentId}/stat").Split(") ")[1].Split(' ')[11..13].Sum(text => long.Parse(text, CultureInfo.InvariantCulture));
        await TestContext.Out.WriteLineAsync($"{pods} pods, {bytes / 1e6:0} MB of JSON: at most {Megabytes("VmHWM"):0} MB resident, then {Megabytes("VmRSS"):0} MB; {ticks / 100.0:0.00} s of CPU until it serves");
        Assert.That(node.Overlay("status", "-o", "json").ExitCode, Is.Zero);
        if (IsBench)
            Assert.That(Megabytes("VmHWM"), Is.LessThan(100));

        double Megabytes(string name) => long.Parse(status[name].Split(' ')[0], CultureInfo.InvariantCulture) * 1024 / 1e6;
    }

    private static JsonObject Pod(int i)
    {
        var app = i / 10;
        var fields = new JsonObject();
        for (var k = 0; k < 60; k++)
            fields[$"f:condition-{k}"] = new JsonObject { ["."] = new JsonObject(), ["f:lastTransitionTime"] = new JsonObject(), ["f:status"] = new JsonObject() };
        return new()
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Pod",
            ["metadata"] = new JsonObject
            {
                ["name"] = $"app-{app}-7d4b9c6f5-{i:x5}",
                ["namespace"] = $"ns-{app % 200}",
                ["labels"] = new JsonObject { ["app"] = $"app-{app}", ["pod-template-hash"] = "7d4b9c6f5", ["tier"] = $"tier-{app % 3}", ["team"] = $"team-{app % 200}" },
                ["managedFields"] = new JsonArray(new JsonObject { ["manager"] = "kubelet", ["operation"] = "Update", ["fieldsType"] = "FieldsV1", ["fieldsV1"] = fields }),
            },
            ["spec"] = new JsonObject
            {
                ["nodeName"] = $"node-{1 + (i % Nodes)}",
                ["containers"] = new JsonArray(new JsonObject { ["name"] = "c", ["image"] = "none", ["ports"] = new JsonArray(new JsonObject { ["name"] = "http", ["containerPort"] = 8080 }) }),
            },
            ["status"] = new JsonObject
            {
                ["phase"] = "Running",
                ["podIPs"] = new JsonArray(new JsonObject { ["ip"] = $"10.{60 + (i / 65536)}.{i / 256 % 256}.{i % 256}" }, new JsonObject { ["ip"] = $"fd00:60::{i:x}" }),
            },
        };
    }
}
