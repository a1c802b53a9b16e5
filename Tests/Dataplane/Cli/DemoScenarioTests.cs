using System.Net;
using k8s.Models;
using Overlay.Dataplane.Cli.Demo;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Dataplane.Cli;

public class DemoScenarioTests
{
    [Test]
    public void What_is_asked_covers_every_pair_but_a_pod_to_itself()
    {
        foreach (var asked in new[] { DemoScenario.AskedBefore, DemoScenario.AskedAfter })
        {
            Assert.That(asked.Rows, Is.EqualTo(DemoScenario.Pods.Select(pod => pod.Name)));
            Assert.That(asked.Columns, Is.EqualTo(DemoScenario.Pods.Select(pod => pod.Name).Append(DemoScenario.Outside)));
            Assert.That(asked.Cells.Keys, Is.EquivalentTo(asked.Rows.SelectMany(from => asked.Columns.Where(to => to != from).Select(to => (from, to)))));
        }

        Assert.That(DemoScenario.AskedBefore.Answers, Is.EqualTo(DemoScenario.AskedBefore.Probes.Count()), "without policies everything is asked to work");
    }

    [Test]
    public void The_oracle_reads_the_same_from_the_policies()
    {
        var manifests = ClusterObjects.Parse(DemoManifests.Cluster(Family.IPv4) + "---\n" + DemoManifests.Policies);
        var addresses = DemoScenario.Pods.Select((pod, i) => (pod, i)).ToDictionary(
            item => item.pod.Name,
            item => item.pod.Node.PodCidrs.Select(cidr => new InetAddress(cidr.Family, cidr.First.Value + (uint)item.i + 2).ToIPAddress()).ToArray());
        foreach (var pod in manifests.Pods)
            pod.Status = new V1PodStatus { PodIPs = [.. addresses[pod.Metadata.Name].Select(address => new V1PodIP { Ip = address.ToString() })] };
        addresses[DemoScenario.Outside] = [.. DemoScenario.OutsideAddresses.Select(prefix => prefix.Address.ToIPAddress())];

        Assert.That(Judged(manifests.Policies), Is.EqualTo(Text(DemoScenario.AskedAfter)));
        Assert.That(Judged([]), Is.EqualTo(Text(DemoScenario.AskedBefore)));

        string Judged(IReadOnlyCollection<V1NetworkPolicy> policies)
        {
            var oracle = new PolicyOracle(new(manifests.Nodes, manifests.Namespaces, manifests.Pods, policies));
            return Text(DemoScenario.AskedAfter.Of(DemoScenario.AskedAfter.Probes.Where(probe =>
            {
                var port = DemoScenario.Ports[probe.Port];
                IPAddress Of(string name) => addresses[name][probe.Family == Family.IPv4 ? 0 : 1];
                return oracle.Judge(new(Of(probe.From), Of(probe.To), port.Protocol.ToString().ToUpperInvariant(), port.Number)).Allowed;
            })));
        }
    }

    [TestCase(Family.IPv4)]
    [TestCase(Family.IPv6)]
    public void The_directory_datastore_accepts_every_manifest(Family underlay)
    {
        var files = new[] { FromManifest.Read("cluster.yaml", DemoManifests.Cluster(underlay)), FromManifest.Read("policies.yaml", DemoManifests.Policies) };
        Assert.That(files.SelectMany(file => file.Rejections), Is.Empty);
        Assert.That(files.Sum(file => file.Objects.Count()), Is.EqualTo(DemoScenario.Nodes.Count + 3 + DemoScenario.Pods.Count + DemoScenario.Policies.Count));
    }

    [TestCase("hm")]
    [TestCase("hmdx")]
    [TestCase("dmh")]
    [TestCase("hm-")]
    public void A_cell_that_is_not_made_of_the_ports_letters_is_refused(string cell) =>
        Assert.That(() => ReachabilityMatrix.Parse($" b\na {cell}"), Throws.TypeOf<FormatException>());

    private static string Text(ReachabilityMatrix matrix) => string.Join('\n', matrix.Rows.Select(from => $"{from}: {string.Join(' ', matrix.Columns.Where(to => to != from).Select(to => $"{to} {matrix.Cells[(from, to)]}"))}"));
}
