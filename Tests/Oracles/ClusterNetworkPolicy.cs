using System.Text.Json;
using System.Text.Json.Serialization;
using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>What every part of an object has: the fields that no member of it takes, so that an unknown one is noticed and not lost.</summary>
public abstract class ClusterNetworkPolicyPart
{
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }
}

/// <summary>
/// policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy, field by field as kubernetes-sigs/network-policy-api has it
/// (apis/v1alpha2/clusternetworkpolicy_types.go); KubernetesClient does not. Nothing here checks anything: <see cref="ClusterNetworkPolicyRules"/> does.
/// </summary>
public sealed class ClusterNetworkPolicy : ClusterNetworkPolicyPart, IMetadata<V1ObjectMeta>
{
    [JsonPropertyName("apiVersion")]
    public string? ApiVersion { get; set; } = "policy.networking.k8s.io/v1alpha2";

    [JsonPropertyName("kind")]
    public string? Kind { get; set; } = "ClusterNetworkPolicy";

    [JsonPropertyName("metadata")]
    public V1ObjectMeta Metadata { get; set; } = new();

    [JsonPropertyName("spec")]
    public ClusterNetworkPolicySpec? Spec { get; set; }

    [JsonPropertyName("status")]
    public JsonElement? Status { get; set; }
}

/// <summary>ClusterNetworkPolicySpec.</summary>
public sealed class ClusterNetworkPolicySpec : ClusterNetworkPolicyPart
{
    [JsonPropertyName("tier")]
    public string? Tier { get; set; }

    [JsonPropertyName("priority")]
    public int? Priority { get; set; }

    [JsonPropertyName("subject")]
    public ClusterNetworkPolicySubject? Subject { get; set; }

    [JsonPropertyName("ingress")]
    public IList<ClusterNetworkPolicyIngressRule>? Ingress { get; set; }

    [JsonPropertyName("egress")]
    public IList<ClusterNetworkPolicyEgressRule>? Egress { get; set; }
}

/// <summary>ClusterNetworkPolicySubject: exactly one field is to be set.</summary>
public sealed class ClusterNetworkPolicySubject : ClusterNetworkPolicyPart
{
    [JsonPropertyName("namespaces")]
    public PolicyLabelSelector? Namespaces { get; set; }

    [JsonPropertyName("pods")]
    public ClusterNetworkPolicyNamespacedPod? Pods { get; set; }
}

/// <summary>NamespacedPod.</summary>
public sealed class ClusterNetworkPolicyNamespacedPod : ClusterNetworkPolicyPart
{
    [JsonPropertyName("namespaceSelector")]
    public PolicyLabelSelector? NamespaceSelector { get; set; }

    [JsonPropertyName("podSelector")]
    public PolicyLabelSelector? PodSelector { get; set; }
}

/// <summary>metav1 LabelSelector.</summary>
public sealed class PolicyLabelSelector : ClusterNetworkPolicyPart
{
    [JsonPropertyName("matchLabels")]
    public IDictionary<string, string>? MatchLabels { get; set; }

    [JsonPropertyName("matchExpressions")]
    public IList<PolicyLabelSelectorRequirement>? MatchExpressions { get; set; }
}

/// <summary>metav1 LabelSelectorRequirement.</summary>
public sealed class PolicyLabelSelectorRequirement : ClusterNetworkPolicyPart
{
    [JsonPropertyName("key")]
    public string? Key { get; set; }

    [JsonPropertyName("operator")]
    public string? Operator { get; set; }

    [JsonPropertyName("values")]
    public IList<string>? Values { get; set; }
}

/// <summary>What rules of both directions have.</summary>
public abstract class ClusterNetworkPolicyRule : ClusterNetworkPolicyPart
{
    [JsonPropertyName("name")]
    public string? Name { get; set; }

    [JsonPropertyName("action")]
    public string? Action { get; set; }

    [JsonPropertyName("protocols")]
    public IList<ClusterNetworkPolicyProtocol>? Protocols { get; set; }

    /// <summary><c>from</c> or <c>to</c>.</summary>
    [JsonIgnore]
    public abstract IReadOnlyList<ClusterNetworkPolicyPeer>? Peers { get; }
}

/// <summary>ClusterNetworkPolicyIngressRule.</summary>
public sealed class ClusterNetworkPolicyIngressRule : ClusterNetworkPolicyRule
{
    [JsonPropertyName("from")]
    public IList<ClusterNetworkPolicyIngressPeer>? From { get; set; }

    [JsonIgnore]
    public override IReadOnlyList<ClusterNetworkPolicyPeer>? Peers => From?.ToList();
}

/// <summary>ClusterNetworkPolicyEgressRule.</summary>
public sealed class ClusterNetworkPolicyEgressRule : ClusterNetworkPolicyRule
{
    [JsonPropertyName("to")]
    public IList<ClusterNetworkPolicyEgressPeer>? To { get; set; }

    [JsonIgnore]
    public override IReadOnlyList<ClusterNetworkPolicyPeer>? Peers => To?.ToList();
}

/// <summary>What peers of both directions have.</summary>
public abstract class ClusterNetworkPolicyPeer : ClusterNetworkPolicyPart
{
    [JsonPropertyName("namespaces")]
    public PolicyLabelSelector? Namespaces { get; set; }

    [JsonPropertyName("pods")]
    public ClusterNetworkPolicyNamespacedPod? Pods { get; set; }
}

/// <summary>ClusterNetworkPolicyIngressPeer: exactly one field is to be set.</summary>
public sealed class ClusterNetworkPolicyIngressPeer : ClusterNetworkPolicyPeer;

/// <summary>ClusterNetworkPolicyEgressPeer: exactly one field is to be set.</summary>
public sealed class ClusterNetworkPolicyEgressPeer : ClusterNetworkPolicyPeer
{
    [JsonPropertyName("nodes")]
    public PolicyLabelSelector? Nodes { get; set; }

    [JsonPropertyName("networks")]
    public IList<string>? Networks { get; set; }

    [JsonPropertyName("domainNames")]
    public IList<string>? DomainNames { get; set; }
}

/// <summary>ClusterNetworkPolicyProtocol: exactly one field is to be set.</summary>
public sealed class ClusterNetworkPolicyProtocol : ClusterNetworkPolicyPart
{
    [JsonPropertyName("tcp")]
    public ClusterNetworkPolicyProtocolPorts? Tcp { get; set; }

    [JsonPropertyName("udp")]
    public ClusterNetworkPolicyProtocolPorts? Udp { get; set; }

    [JsonPropertyName("sctp")]
    public ClusterNetworkPolicyProtocolPorts? Sctp { get; set; }

    [JsonPropertyName("destinationNamedPort")]
    public string? DestinationNamedPort { get; set; }
}

/// <summary>ClusterNetworkPolicyProtocolTCP, …UDP and …SCTP, which are alike.</summary>
public sealed class ClusterNetworkPolicyProtocolPorts : ClusterNetworkPolicyPart
{
    [JsonPropertyName("destinationPort")]
    public ClusterNetworkPolicyPort? DestinationPort { get; set; }
}

/// <summary>Port: exactly one field is to be set.</summary>
public sealed class ClusterNetworkPolicyPort : ClusterNetworkPolicyPart
{
    [JsonPropertyName("number")]
    public int? Number { get; set; }

    [JsonPropertyName("range")]
    public ClusterNetworkPolicyPortRange? Range { get; set; }
}

/// <summary>PortRange.</summary>
public sealed class ClusterNetworkPolicyPortRange : ClusterNetworkPolicyPart
{
    [JsonPropertyName("start")]
    public int? Start { get; set; }

    [JsonPropertyName("end")]
    public int? End { get; set; }
}
