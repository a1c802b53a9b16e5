using System.Runtime.CompilerServices;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Tests.PolicyEngine;

public class ReadmeTests
{
    [Test]
    public void Readme_shows_the_ruleset_of_its_policy()
    {
        var lines = File.ReadAllLines(Path.Combine(Path.GetDirectoryName(ThisFile())!, "../../PolicyEngine/README.md"));
        var shown = lines.SkipWhile(line => line != "```nft").Skip(1).TakeWhile(line => line != "```").Select(line => line.Split("    #")[0].Replace("    ", "\t"));
        Assert.That(string.Join('\n', shown) + "\n", Is.EqualTo(NftText.Print(RulesetProjection.FromScratch(Example())).Replace("    ", "\t")));
    }

    private static ClusterState Example()
    {
        var policy = Policy.Namespaced(new("shop", "db"), Where("app", "db"),
            [
                new(
                    [new Peer.Pods(null, Where("app", "web")), new Peer.IPBlock(Cidr.Parse("192.168.0.0/16"), [Cidr.Parse("192.168.7.0/24")])],
                    [new PortMatch.Numeric(IpProtocol.Tcp, 5432, 5432)]),
                new([new Peer.Pods(Where("team", "ops"), LabelSelector.Everything)], [new PortMatch.Named(IpProtocol.Tcp, "metrics")]),
            ],
            new EquatableArray<PolicyRule>([]));
        return new(
            new(),
            new([Cidr.Parse("10.42.1.0/24"), Cidr.Parse("fd00:42:1::/64")], [Cidr.Parse("10.42.0.0/16"), Cidr.Parse("fd00:42::/48")]),
            [],
            [new("shop", Labels.Empty), new("monitoring", Labels.Of(new Label("team", "ops")))],
            [
                Pod("shop", "db-0", "db", "10.42.1.5", "fd00:42:1::5", new NamedPort("metrics", IpProtocol.Tcp, 9187)),
                Pod("shop", "web-0", "web", "10.42.1.6", "fd00:42:1::6"),
                Pod("shop", "web-1", "web", "10.42.2.9", "fd00:42:2::9"),
                Pod("monitoring", "prometheus", "prometheus", "10.42.2.7", "fd00:42:2::7"),
            ],
            new HashSet<NamespacedName> { new("shop", "db-0"), new("shop", "web-0") },
            [policy]);
    }

    private static LabelSelector Where(string key, string value) => LabelSelector.Of(new LabelSelectorRequirement(key, LabelSelectorOperator.In, [value]));

    private static Pod Pod(string ns, string name, string app, string v4, string v6, params NamedPort[] ports) =>
        new(new(ns, name), Labels.Of(new Label("app", app)), [InetAddress.Parse(v4), InetAddress.Parse(v6)], new(ports), false, "");

    private static string ThisFile([CallerFilePath] string path = "") => path;
}
