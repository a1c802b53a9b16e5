using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>The scenario as Kubernetes manifests in YAML.</summary>
internal static class DemoManifests
{
    /// <summary>Nodes, namespaces and pods.</summary>
    /// <param name="underlay">Family of the nodes' InternalIP, thus of the tunnels.</param>
    public static string Cluster(Family underlay) => Documents(
    [
        .. DemoScenario.Nodes.Select(node => Node(node, underlay)),
        .. DemoScenario.Pods.Select(pod => pod.Namespace).Distinct().Select(Namespace),
        .. DemoScenario.Pods.Select(Pod),
    ]);

    /// <summary>The NetworkPolicies.</summary>
    public static string Policies => Documents(DemoScenario.Policies.Select(Policy));

    private static string Documents(IEnumerable<string> documents) => string.Join("\n---\n", documents) + "\n";

    private static string Node(DemoNode node, Family underlay) => $"""
        apiVersion: v1
        kind: Node
        metadata:
          name: {node.Name}
        spec:
          podCIDRs: ["{node.PodCidrs[0]}", "{node.PodCidrs[1]}"]
        status:
          addresses:
          - type: InternalIP
            address: "{node.Underlay.Single(prefix => prefix.Family == underlay).Address}"
        """;

    private static string Namespace(string name) => $"""
        apiVersion: v1
        kind: Namespace
        metadata:
          name: {name}
          labels:
            team: {name}
        """;

    private static string Pod(DemoPod pod) => $"""
        apiVersion: v1
        kind: Pod
        metadata:
          namespace: {pod.Namespace}
          name: {pod.Name}
          labels:
            app: {pod.Name}
        spec:
          nodeName: {pod.Node.Name}
          containers:
          - name: server
            ports:
        {string.Join('\n', DemoScenario.Ports.Select(Port))}
        """;

    private static string Port(DemoPort port) => $"""
            - name: {port.Name}
              protocol: {port.Protocol.ToString().ToUpperInvariant()}
              containerPort: {port.Number}
        """;

    private static string Policy(DemoPolicy policy) => $"""
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata:
          namespace: {policy.Name.Namespace}
          name: {policy.Name.Name}
        spec:
        {policy.Spec}
        """;
}
