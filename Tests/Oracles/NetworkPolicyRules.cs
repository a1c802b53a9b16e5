using k8s.Models;

namespace Overlay.Tests.Oracles;

/// <summary>What the API server refuses in a NetworkPolicy (pkg/apis/networking/validation). A folder of manifests has no API server in front of it.</summary>
public static class NetworkPolicyRules
{
    /// <summary>The first thing wrong with <paramref name="policy"/>, or null.</summary>
    public static string? Violation(V1NetworkPolicy policy)
    {
        var spec = policy.Spec;
        if (spec is null)
            return "no spec";
        if ((spec.PolicyTypes ?? []).FirstOrDefault(type => type is not ("Ingress" or "Egress")) is { } unknown)
            return $"policy type {unknown}";
        var rules = (spec.Ingress ?? []).Select(rule => (Peers: rule.FromProperty, rule.Ports))
            .Concat((spec.Egress ?? []).Select(rule => (Peers: rule.To, rule.Ports)));
        return SelectorViolation(policy)
            ?? rules.SelectMany(rule => (rule.Peers ?? []).Select(Peer).Concat((rule.Ports ?? []).Select(Port))).FirstOrDefault(violation => violation is not null);
    }

    /// <summary>What is wrong with <c>spec.podSelector</c>, or null. A policy whose selector makes no sense selects all pods of its namespace.</summary>
    public static string? SelectorViolation(V1NetworkPolicy policy) => policy.Spec is null ? "no spec" : Selector(policy.Spec.PodSelector);

    private static string? Peer(V1NetworkPolicyPeer peer)
    {
        if (peer.IpBlock is not { } block)
            return peer is { NamespaceSelector: null, PodSelector: null } ? "a peer without a selector" : Selector(peer.NamespaceSelector) ?? Selector(peer.PodSelector);
        if (peer is not { NamespaceSelector: null, PodSelector: null })
            return "ipBlock together with a selector";
        if (!Prefix.TryParse(block.Cidr, out var cidr))
            return $"cidr {block.Cidr}";
        return (block.Except ?? []).FirstOrDefault(text =>
            !Prefix.TryParse(text, out var except) || !Prefix.Contains(block.Cidr, except.Address) || except.Length <= cidr.Length) is { } bad
            ? $"except {bad} is not inside {block.Cidr}"
            : null;
    }

    private static string? Port(V1NetworkPolicyPort rule)
    {
        if (rule.Protocol is not (null or "TCP" or "UDP" or "SCTP"))
            return $"protocol {rule.Protocol}";
        if (rule.Port?.Value is not { } text)
            return rule.EndPort is null ? null : "endPort without port";
        if (!int.TryParse(text, out var port))
            return rule.EndPort is null ? null : "endPort with a named port";
        return port is < 1 or > 65535 || rule.EndPort < port || rule.EndPort > 65535 ? $"port {port} to {rule.EndPort}" : null;
    }

    private static string? Selector(V1LabelSelector? selector) => (selector?.MatchExpressions ?? [])
        .Select(expression => (expression.OperatorProperty, expression.Values?.Count ?? 0) switch
        {
            ("In" or "NotIn", > 0) or ("Exists" or "DoesNotExist", 0) => null,
            _ => $"{expression.OperatorProperty} of {expression.Key} with {expression.Values?.Count ?? 0} values",
        })
        .FirstOrDefault(violation => violation is not null);
}
