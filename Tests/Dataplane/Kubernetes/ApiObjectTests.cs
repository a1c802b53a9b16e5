using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>An object as the API server gives it means what its manifest means.</summary>
public class ApiObjectTests
{
    private static IEnumerable<string> Scenarios => Directory.GetFiles(Path.Combine(SourceTree.Root, "Tests", "Scenarios"), "cluster.yaml", SearchOption.AllDirectories)
        .Where(path => !path.Contains("reject") && !path.Contains("unknown-field")).Select(path => Path.GetFileName(Path.GetDirectoryName(path)!)).Order(StringComparer.Ordinal);

    [TestCaseSource(nameof(Scenarios))]
    public void The_objects_of_a_scenario_are_the_same_from_the_API_server_as_from_a_file(string scenario)
    {
        var yaml = File.ReadAllText(Path.Combine(SourceTree.Root, "Tests", "Scenarios", scenario, "cluster.yaml"));
        var fromFile = FromManifest.Read("cluster.yaml", yaml).Objects.ToList();
        var fromApi = ManifestYaml.Read(yaml).Select(item => Read(Served(item))).ToList();
        Assert.That(fromApi.SelectMany(item => item.Rejections), Is.Empty);
        Assert.That(fromApi.Select(item => item.Set is ClusterChange.PodSet pod ? pod with { Uid = "" } : item.Set), Is.EqualTo(fromFile));
        Assert.That(fromFile, Is.Not.Empty);
    }

    [Test]
    public void What_does_not_concern_the_network_is_passed_over_however_strange_it_is()
    {
        var pod = Read("""
            {"metadata":{"name":"web-0","namespace":"shop","uid":"u-1","resourceVersion":"9","labels":{"app":"web"},"creationTimestamp":null,"managedFields":[{"fieldsV1":{"f:metadata":{"f:labels":{".":{}}}}}],
              "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"a\":\"\\u00fc\"}"}},
             "spec":{"nodeName":"node-1","volumes":[[[[{"deep":[[[[[[[[[[[[1]]]]]]]]]]]]}]]]],"containers":[{"name":"c","image":"x","ports":[{"name":"http","containerPort":80,"protocol":"TCP","hostPort":0}],"env":[{"name":"A","value":null}]}]},
             "status":{"phase":"Running","podIP":"10.42.1.5","podIPs":[{"ip":"10.42.1.5"},{"ip":"fd00:42:1::5"}],"conditions":[{"type":"Ready"}],"qosClass":7}}
            """, Resource.Pods);
        Assert.That(pod.Rejections, Is.Empty);
        Assert.That((pod.Name, pod.Uid, pod.ResourceVersion), Is.EqualTo((new NamespacedName("shop", "web-0"), "u-1", "9")));
        Assert.That(((ClusterChange.PodSet)pod.Set!).Pod, Is.EqualTo(new Pod(
            new("shop", "web-0"), Labels.Of(new Label("app", "web")), [InetAddress.Parse("10.42.1.5"), InetAddress.Parse("fd00:42:1::5")], [new("http", IpProtocol.Tcp, 80)], HostNetwork: false, "node-1")));
    }

    [Test]
    public void A_static_pod_goes_by_the_UID_that_kubelet_gave_it()
    {
        var mirror = Read("""{"metadata":{"name":"proxy-node-1","namespace":"kube-system","uid":"of-the-copy","annotations":{"kubernetes.io/config.mirror":"of-the-file","kubernetes.io/config.source":"file"}},"spec":{"nodeName":"node-1"}}""", Resource.Pods);
        Assert.That(((ClusterChange.PodSet)mirror.Set!).Uid, Is.EqualTo("of-the-file"));
    }

    [TestCase("""{"conditions":[{"type":"Ready","status":"True"},{"type":"NetworkUnavailable","status":"True","reason":"x"}]}""", true)]
    [TestCase("""{"conditions":[{"type":"NetworkUnavailable","status":"False"}]}""", false)]
    [TestCase("""{"conditions":[{"type":"NetworkUnavailable","status":"Unknown"}]}""", null)]
    [TestCase("{}", null)]
    public void Of_a_nodes_conditions_the_one_that_concerns_the_network_is_read(string status, bool? unavailable)
    {
        var node = Read($$"""{"metadata":{"name":"node-1"},"spec":{"podCIDR":"10.42.1.0/24"},"status":{{status}}}""", Resource.Nodes);
        Assert.That(((ClusterChange.NodeSet)node.Set!).Node.NetworkUnavailable, Is.EqualTo(unavailable));
    }

    // What a later version of the API adds to narrow a rule must not widen it by being passed over.
    [Test]
    public void A_field_of_a_policy_that_is_not_known_isolates_its_pods_and_is_reported_by_path()
    {
        var policy = Read("""{"metadata":{"name":"db","namespace":"shop","uid":"u"},"spec":{"podSelector":{"matchLabels":{"app":"db"}},"ingress":[{"from":[{"podSelector":{},"onSundays":true}]}]}}""", Resource.NetworkPolicies);
        Assert.That(policy.Rejections.Single().ToString(), Is.EqualTo("/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/db: NetworkPolicy shop/db: spec.ingress[0].from[0].onSundays: there is no such field."));
        Assert.That(((ClusterChange.PolicySet)policy.Set!).Policy, Is.EqualTo(Policy.Namespaced(new("shop", "db"), LabelSelector.Of([new("app", LabelSelectorOperator.In, ["db"])]), [], null)));
    }

    [TestCase("[]")]
    [TestCase("{}")]
    [TestCase("""{"metadata":{"name":"a","name":"b"}}""")]
    [TestCase("""{"metadata":{"name":""}}""")]
    public void What_is_no_object_with_a_name_is_no_object(string json) => Assert.That(() => Read(json, Resource.Pods), Throws.InstanceOf<JsonException>());

    private static (Resource Resource, string Json) Served(object item)
    {
        var json = item is ClusterNetworkPolicy policy ? JsonSerializer.SerializeToNode(policy, ManifestYaml.Options)! : JsonNode.Parse(KubernetesJson.Serialize(item))!;
        var resource = Resource.All.Single(resource => resource.Kind == (string?)json["kind"]);
        var metadata = json["metadata"]!.AsObject();
        if (resource.Kind is "Pod" or "NetworkPolicy" && metadata["namespace"] is null)
            metadata["namespace"] = "default";
        metadata["resourceVersion"] = "1";

        // Items of a list have neither.
        json.AsObject().Remove("kind");
        json.AsObject().Remove("apiVersion");
        return (resource, json.ToJsonString());
    }

    private static ApiObject Read((Resource Resource, string Json) served) => Read(served.Json, served.Resource);

    private static ApiObject Read(string json, Resource resource) => ApiObject.Read(resource, Encoding.UTF8.GetBytes(json), new());
}
