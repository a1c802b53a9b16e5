using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Manifests;

/// <content>ClusterNetworkPolicy v1alpha2, validated as its CRD does. What is wrong within a rule makes that rule fail closed, as the API text asks of fields that
/// an implementation does not know; what is wrong elsewhere makes the whole policy deny.</content>
public static partial class FromManifest
{
    private const int MaxItems = 25; // of every list of the CRD

    // The policy; when something outside of its rules is wrong, what stands in for it.
    private static Policy ReadClusterNetworkPolicy(Fields root, NamespacedName name, NamespacedName standIn, List<FieldProblem> problems)
    {
        _ = root.Node("status");
        var isDirectionInDoubt = problems.Exists(flaw => flaw.Field is "" or "spec" or "spec.ingress" or "spec.egress");
        var (isTierInDoubt, isPriorityInDoubt, isSubjectInDoubt) = (IsInDoubt(problems, "spec.tier"), IsInDoubt(problems, "spec.priority"), IsInDoubt(problems, "spec.subject"));
        var spec = root.Object("spec");
        var (tier, priority) = (ReadTier(spec), ReadPriority(spec));
        (tier, priority) = (isTierInDoubt ? Tier.Admin : tier, isTierInDoubt || isPriorityInDoubt ? 0 : priority);
        var subject = ReadSubject(spec.Object("subject"));
        if (isSubjectInDoubt)
            subject = Selector.Everything;
        if (!spec.Has("subject"))
            spec.Reject("subject", "it is missing; the pods to which the policy applies.");
        var (ingress, egress) = (ReadRuleList(spec, "ingress"), ReadRuleList(spec, "egress"));
        var isUnknown = root.RejectUnknown() | spec.RejectUnknown();
        var isUnderstood = problems.Count == 0;
        EquatableArray<PolicyRule> incoming = [.. ingress.Select(rule => ReadClusterRule(rule, "from", problems))];
        EquatableArray<PolicyRule> outgoing = [.. egress.Select(rule => ReadClusterRule(rule, "to", problems))];
        if (isUnderstood)
            return new(name, tier, priority, subject, ingress.Count > 0 ? incoming : null, egress.Count > 0 ? outgoing : null);

        // A misspelled field may be the rules that are not there.
        var isEither = isUnknown || isDirectionInDoubt || (!spec.Has("ingress") && !spec.Has("egress"));
        var policy = new Policy(standIn, tier, priority, subject, isEither || HasSay(spec, "ingress") ? [] : null, isEither || HasSay(spec, "egress") ? [] : null);
        return (policy is { Ingress: null, Egress: null } ? policy with { Ingress = [], Egress = [] } : policy).Isolating();
    }

    private static bool HasSay(Fields spec, string name) => spec.Node(name) is not (null or YamlNode.Sequence { Items.Count: 0 });

    private static Tier ReadTier(Fields spec)
    {
        switch (spec.Text("tier"))
        {
            case "Admin":
                return Tier.Admin;
            case "Baseline":
                return Tier.Baseline;
            case var other:
                spec.Reject("tier", other is null ? "it is missing; Admin or Baseline." : $"there is no tier {other}; Admin or Baseline.");
                return Tier.Admin;
        }
    }

    private static int ReadPriority(Fields spec)
    {
        var priority = spec.Integer("priority");
        if (priority is >= 0 and <= 1000)
            return (int)priority;
        spec.Reject("priority", priority is null ? "it is missing; 0 to 1000." : $"{priority} is no priority; 0 to 1000.");
        return 0;
    }

    // Of a subject that cannot be read, what can: a part of its requirements selects no fewer pods.
    private static Selector ReadSubject(Fields subject)
    {
        subject.AskFor("namespaces", "pods");
        subject.RejectUnknown();
        var (hasNamespaces, hasPods) = (subject.Has("namespaces"), subject.Has("pods"));
        if (hasNamespaces != hasPods)
            return Selector.Of(hasNamespaces ? ReadNamespaces(subject) : ReadNamespacedPods(subject), "");
        if (hasNamespaces)
            subject.Reject("", "namespaces and pods exclude each other.");
        else
            subject.Reject("", "it needs namespaces or pods; an empty selector means all of them.");
        return Selector.Everything;
    }

    private static Peer.Pods ReadNamespaces(Fields owner) => new(ReadSelector(owner.Object("namespaces")), LabelSelector.Everything);

    private static Peer.Pods ReadNamespacedPods(Fields owner)
    {
        var pods = owner.Object("pods");
        var (namespaceSelector, podSelector) = (ReadSelector(pods.Object("namespaceSelector")), ReadSelector(pods.Object("podSelector")));
        pods.RejectUnknown();
        if (!pods.Has("podSelector"))
            pods.Reject("podSelector", "it is missing; an empty one selects all pods.");
        return new(namespaceSelector, podSelector);
    }

    private static List<Fields> ReadRuleList(Fields spec, string name)
    {
        var rules = spec.Objects(name).ToList();
        if (rules.Count > MaxItems)
            spec.Reject(name, $"{rules.Count} rules; the API admits {MaxItems}.");
        return rules;
    }

    private static PolicyRule ReadClusterRule(Fields rule, string peers, List<FieldProblem> problems)
    {
        var before = problems.Count;
        var name = rule.Text("name") ?? "";
        if (name.Length > 100)
            rule.Reject("name", "it is longer than 100 characters.");
        RuleAction? action = rule.Text("action") switch
        {
            "Accept" => RuleAction.Accept,
            "Deny" => RuleAction.Deny,
            "Pass" => RuleAction.Pass,
            _ => null,
        };
        if (action is null)
            rule.Reject("action", rule.Has("action") ? $"there is no action {rule.Text("action")}; Accept, Deny or Pass." : "it is missing; Accept, Deny or Pass.");
        var read = new PolicyRule(ReadClusterPeers(rule, peers), ReadProtocols(rule), action ?? RuleAction.Deny, name);
        rule.RejectUnknown();
        if (read.Ports.OfType<PortMatch.Named>().Any() && read.Peers.Any(peer => peer is not Peer.Pods))
            rule.Reject("protocols", "networks and nodes have no named ports; write a rule of its own for them.");
        if (problems.Count == before)
            return read;
        return action == RuleAction.Accept ? read with { Peers = [], Ports = [] } : Policy.DenyAll with { Name = name };
    }

    private static EquatableArray<Peer> ReadClusterPeers(Fields rule, string name)
    {
        var peers = rule.Objects(name).ToList();
        if (peers.Count is 0 or > MaxItems)
            rule.Reject(name, peers.Count == 0 ? "it is missing or empty; at least one peer, an empty selector means all." : $"{peers.Count} peers; the API admits {MaxItems}.");
        return peers.SelectMany(peer => ReadClusterPeer(peer, isEgress: name == "to")).ToEquatableArray();
    }

    private static List<Peer> ReadClusterPeer(Fields peer, bool isEgress)
    {
        string[] kinds = isEgress ? ["namespaces", "pods", "nodes", "networks"] : ["namespaces", "pods"];
        peer.AskFor(kinds);
        if (isEgress && peer.Has("domainNames"))
            peer.Reject("domainNames", "peers by domain name are not supported, so the rule fails closed; use networks.");
        else if (!peer.RejectUnknown() && kinds.Count(peer.Has) != 1)
            peer.Reject("", $"a peer is exactly one of {string.Join(", ", kinds[..^1])} and {kinds[^1]}.");
        else if (peer.Has("namespaces"))
            return [ReadNamespaces(peer)];
        else if (peer.Has("pods"))
            return [ReadNamespacedPods(peer)];
        else if (isEgress && peer.Has("nodes"))
            return [new Peer.Nodes(ReadSelector(peer.Object("nodes")))];
        else if (isEgress && peer.Has("networks"))
            return ReadNetworks(peer);
        return [];
    }

    private static List<Peer> ReadNetworks(Fields peer)
    {
        var networks = peer.Texts("networks").ToList();
        if (networks.Count is 0 or > MaxItems)
            peer.Reject("networks", networks.Count == 0 ? "it is empty; at least one prefix." : $"{networks.Count} prefixes; the API admits {MaxItems}.");
        var blocks = new List<Peer>();
        foreach (var (text, line, path) in networks)
        {
            if (Cidr.TryParse(text, out var prefix))
                blocks.Add(new Peer.IPBlock(prefix.Network, []));
            else
                peer.Reject(line, path, $"\"{text}\" is no prefix such as 10.0.0.0/8 or 2001:db8::/32.");
        }

        return blocks;
    }

    private static EquatableArray<PortMatch> ReadProtocols(Fields rule)
    {
        if (!rule.Has("protocols"))
            return [new PortMatch.Any()];
        var protocols = rule.Objects("protocols").ToList();
        if (protocols.Count is 0 or > MaxItems)
            rule.Reject("protocols", protocols.Count == 0 ? "it is empty; leave it out to mean every protocol." : $"{protocols.Count} entries; the API admits {MaxItems}.");
        return protocols.SelectMany(ReadProtocolMatch).ToEquatableArray();
    }

    private static IEnumerable<PortMatch> ReadProtocolMatch(Fields match)
    {
        string[] kinds = ["tcp", "udp", "sctp", "destinationNamedPort"];
        match.AskFor(kinds);
        if (match.RejectUnknown())
            return [];
        if (kinds.Count(match.Has) != 1)
        {
            match.Reject("", "it is exactly one of tcp, udp, sctp and destinationNamedPort.");
            return [];
        }

        // The name alone counts: the pod says of which protocol its port is.
        if (match.Has("destinationNamedPort"))
        {
            var name = match.Text("destinationNamedPort") ?? "";
            if (!KubernetesName.IsPort(name))
                match.Reject("destinationNamedPort", $"\"{name}\" is no port name: up to 15 of a-z, 0-9 and -, at least one letter.");
            return Enum.GetValues<IpProtocol>().Select(protocol => new PortMatch.Named(protocol, name));
        }

        var (kind, one) = match.Has("tcp") ? ("tcp", IpProtocol.Tcp) : match.Has("udp") ? ("udp", IpProtocol.Udp) : ("sctp", IpProtocol.Sctp);
        return ReadDestinationPort(match.Object(kind)) is { } ports ? [new PortMatch.Numeric(one, ports.First, ports.Last)] : [];
    }

    private static (ushort First, ushort Last)? ReadDestinationPort(Fields protocol)
    {
        var port = protocol.Object("destinationPort");
        protocol.RejectUnknown();
        var number = port.Integer("number");
        var range = port.Object("range");
        port.RejectUnknown();
        if (port.Has("number") == port.Has("range"))
        {
            protocol.Reject("destinationPort", "it needs number, or range with start and end.");
            return null;
        }

        var (first, last) = port.Has("number") ? (number, number) : (range.Integer("start"), range.Integer("end"));
        range.RejectUnknown();
        if (first is >= 1 and <= 65535 && last is >= 1 and <= 65535 && (port.Has("number") || first < last))
            return ((ushort)first, (ushort)last);
        port.Reject("", port.Has("number") ? $"{number} is no port; 1 to 65535." : "range needs a start and a greater end, both 1 to 65535.");
        return null;
    }
}
