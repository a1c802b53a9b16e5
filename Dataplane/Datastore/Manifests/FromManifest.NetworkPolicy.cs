using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Manifests;

/// <content>NetworkPolicy, validated as the API server does (kubernetes pkg/apis/networking/validation); an unknown field, which the API server may
/// drop, is a problem: what was meant to narrow a rule must not widen it by being ignored.</content>
public static partial class FromManifest
{
    private static readonly EquatableArray<PolicyRule> NoRules = [];

    // The policy, or its stand-in when there are problems; null when not even its namespace is one.
    private static Policy? ReadNetworkPolicy(Fields root, NamespacedName name, NamespacedName standIn, List<FieldProblem> problems)
    {
        _ = root.Node("status"); // was part of the API once
        var isSelectorInDoubt = IsInDoubt(problems, "spec.podSelector");
        var isDirectionInDoubt = IsInDoubt(problems, "spec.policyTypes") || problems.Exists(flaw => flaw.Field is "spec.ingress" or "spec.egress");
        var spec = root.Object("spec");
        var before = problems.Count;
        var selector = ReadSelector(spec.Object("podSelector"));
        var isSelected = problems.Count == before && !isSelectorInDoubt;
        var ingress = ReadRules(spec, "ingress", "from");
        var egress = ReadRules(spec, "egress", "to");
        before = problems.Count;
        var (isIngress, isEgress) = ReadPolicyTypes(spec);
        var isDirected = problems.Count == before && !isDirectionInDoubt;

        // A misspelled field may be the selector or the types that are not there.
        if (spec.RejectUnknown() | root.RejectUnknown())
        {
            isSelected &= spec.Has("podSelector");
            isDirected &= spec.Has("policyTypes");
        }

        if (problems.Count == 0)
            return Policy.Namespaced(name, selector, isIngress ? ingress : null, isEgress ? egress : null);
        if (!KubernetesName.IsLabel(name.Namespace))
            return null;
        return Policy.Namespaced(
            standIn,
            isSelected ? selector : LabelSelector.Everything,
            isIngress || !isDirected ? NoRules : null,
            isEgress || !isDirected || (!spec.Has("policyTypes") && spec.Has("egress")) ? NoRules : null);
    }

    // Defaults: pkg/apis/networking/v1/defaults.go.
    private static (bool Ingress, bool Egress) ReadPolicyTypes(Fields spec)
    {
        var types = spec.Texts("policyTypes").ToList();
        foreach (var (type, line, path) in types)
        {
            if (type is not ("Ingress" or "Egress"))
                spec.Reject(line, path, $"there is no policy type {type}; Ingress or Egress.");
        }

        return types.Count == 0
            ? (true, spec.Node("egress") is YamlNode.Sequence { Items.Count: > 0 })
            : (types.Any(type => type.Text == "Ingress"), types.Any(type => type.Text == "Egress"));
    }

    private static EquatableArray<PolicyRule> ReadRules(Fields spec, string name, string peers)
    {
        var rules = new List<PolicyRule>();
        foreach (var rule in spec.Objects(name))
        {
            var read = new PolicyRule(
                rule.List(peers).Count == 0 ? [new Peer.Any()] : rule.Objects(peers).Select(ReadPeer).OfType<Peer>().ToEquatableArray(),
                rule.List("ports").Count == 0 ? [new PortMatch.Any()] : rule.Objects("ports").Select(ReadPort).OfType<PortMatch>().ToEquatableArray());
            rule.RejectUnknown();
            rules.Add(read);
        }

        return rules.ToEquatableArray();
    }

    private static Peer? ReadPeer(Fields peer)
    {
        var hasPods = peer.Has("podSelector");
        var hasNamespaces = peer.Has("namespaceSelector");
        var hasBlock = peer.Has("ipBlock");
        peer.RejectUnknown();
        if (hasBlock && (hasPods || hasNamespaces))
            peer.Reject("", "ipBlock stands alone: write a peer of its own for the selectors.");
        else if (hasBlock)
            return ReadIPBlock(peer.Object("ipBlock"));
        else if (hasPods || hasNamespaces)
            return new Peer.Pods(hasNamespaces ? ReadSelector(peer.Object("namespaceSelector")) : null, ReadSelector(peer.Object("podSelector")));
        else
            peer.Reject("", "a peer needs podSelector, namespaceSelector or ipBlock; leave the list empty to mean everybody.");
        return null;
    }

    private static Peer.IPBlock? ReadIPBlock(Fields block)
    {
        var text = block.Text("cidr");
        var excepted = block.Texts("except").ToList();
        block.RejectUnknown();
        if (!Cidr.TryParse(text, out var cidr))
        {
            block.Reject("cidr", text is null ? "it is missing." : $"\"{text}\" is no prefix such as 10.0.0.0/8 or 2001:db8::/32.");
            return null;
        }

        var except = new List<Cidr>();
        foreach (var (inner, line, path) in excepted)
        {
            if (!Cidr.TryParse(inner, out var prefix))
                block.Reject(line, path, $"\"{inner}\" is no prefix such as 10.0.0.0/8 or 2001:db8::/32.");
            else if (prefix.PrefixLength <= cidr.PrefixLength || !cidr.Contains(prefix.Network))
                block.Reject(line, path, $"{inner} is not a part of {text}, smaller than it.");
            else
                except.Add(prefix.Network);
        }

        return new(cidr.Network, except.ToEquatableArray());
    }

    private static PortMatch? ReadPort(Fields port)
    {
        var protocol = ReadProtocol(port);
        var node = port.Node("port");
        var end = port.Integer("endPort");
        var hasEnd = port.Has("endPort");
        port.RejectUnknown();
        switch (node)
        {
            case null:
                if (hasEnd)
                    port.Reject("endPort", "it needs port, the first of the range.");
                return protocol is null ? null : new PortMatch.Numeric(protocol.Value, 0, 65535);
            case YamlNode.Scalar { IsText: true } name:
                if (!KubernetesName.IsPort(name.Text))
                    port.Reject("port", $"\"{name.Text}\" is no port name: up to 15 of a-z, 0-9 and -, at least one letter. A number is written without quotes.");
                if (hasEnd)
                    port.Reject("endPort", "it cannot end a range that begins with a name.");
                return protocol is null ? null : new PortMatch.Named(protocol.Value, name.Text);
            default:
                var first = port.Integer("port");
                if (first is < 1 or > 65535)
                    port.Reject("port", $"{first} is no port; 1 to 65535.");
                if (end is < 1 or > 65535)
                    port.Reject("endPort", $"{end} is no port; 1 to 65535.");
                else if (end < first)
                    port.Reject("endPort", $"{end} is less than port {first}.");
                return protocol is null || first is not (>= 1 and <= 65535) || (end ?? first) is not (>= 1 and <= 65535)
                    ? null
                    : new PortMatch.Numeric(protocol.Value, (ushort)first, (ushort)(end ?? first));
        }
    }

    // Of what is wrong, the requirements that are not.
    private static LabelSelector ReadSelector(Fields selector)
    {
        var requirements = new List<LabelSelectorRequirement>();
        foreach (var label in ReadLabels(selector, "matchLabels").All)
            requirements.Add(new(label.Key, LabelSelectorOperator.In, [label.Value]));
        foreach (var expression in selector.Objects("matchExpressions"))
        {
            if (ReadRequirement(expression) is { } requirement)
                requirements.Add(requirement);
        }

        selector.RejectUnknown();
        return LabelSelector.Of(requirements);
    }

    private static LabelSelectorRequirement? ReadRequirement(Fields expression)
    {
        var before = expression.Problems;
        var key = expression.Text("key") ?? "";
        var operation = expression.Text("operator");
        var values = expression.Texts("values").ToList();
        expression.RejectUnknown();
        if (!KubernetesName.IsQualified(key))
            expression.Reject("key", key.Length == 0 ? "it is missing." : $"\"{key}\" is no label key.");
        foreach (var (value, line, path) in values.Where(value => !KubernetesName.IsLabelValue(value.Text)))
            expression.Reject(line, path, $"\"{value}\" is no label value.");
        LabelSelectorOperator? known = operation switch
        {
            "In" => LabelSelectorOperator.In,
            "NotIn" => LabelSelectorOperator.NotIn,
            "Exists" => LabelSelectorOperator.Exists,
            "DoesNotExist" => LabelSelectorOperator.DoesNotExist,
            _ => null,
        };
        if (known is null)
            expression.Reject("operator", operation is null ? "it is missing; In, NotIn, Exists or DoesNotExist." : $"there is no operator {operation}; In, NotIn, Exists or DoesNotExist.");
        else if (known is LabelSelectorOperator.In or LabelSelectorOperator.NotIn && values.Count == 0)
            expression.Reject("values", $"{operation} needs at least one.");
        else if (known is LabelSelectorOperator.Exists or LabelSelectorOperator.DoesNotExist && values.Count > 0)
            expression.Reject("values", $"{operation} takes none.");
        return expression.Problems == before ? new(key, known!.Value, values.Select(value => value.Text).ToEquatableArray()) : null;
    }
}
