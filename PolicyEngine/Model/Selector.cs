namespace Overlay.PolicyEngine.Model;

/// <summary>Selects pods: those of one namespace, or of every namespace with fitting labels, that have fitting labels themselves. Never host-network pods: the callers keep those out.</summary>
/// <param name="Namespace">The one namespace; null when <paramref name="NamespaceSelector"/> decides.</param>
/// <param name="NamespaceSelector">Selects namespaces; everything when <paramref name="Namespace"/> is set.</param>
/// <param name="PodSelector">Selects pods within them.</param>
/// <param name="IsOfUnknownNamespaces">Selects the pods of namespaces that are not (yet) known, and no others.</param>
public sealed record Selector(string? Namespace, LabelSelector NamespaceSelector, LabelSelector PodSelector, bool IsOfUnknownNamespaces = false)
{
    /// <summary>Every pod of the cluster.</summary>
    public static Selector Everything { get; } = new(null, LabelSelector.Everything, LabelSelector.Everything);

    /// <summary>The pods of which no rule can tell what namespace labels they have.</summary>
    public static Selector OfUnknownNamespaces { get; } = new(null, LabelSelector.Everything, LabelSelector.Everything, IsOfUnknownNamespaces: true);

    /// <summary>Whether more than a namespace's name must be known to tell if its pods are selected.</summary>
    public bool AsksForNamespaceLabels
    {
        get
        {
            foreach (var requirement in NamespaceSelector.Requirements)
            {
                if (requirement.Key != Model.Namespace.NameLabel)
                    return true;
            }

            return false;
        }
    }

    /// <summary>Pods of one namespace.</summary>
    public static Selector Within(string @namespace, LabelSelector pods) => new(@namespace, LabelSelector.Everything, pods);

    /// <summary>The pods a peer of a policy in <paramref name="namespace"/> stands for.</summary>
    public static Selector Of(Peer.Pods peer, string @namespace) =>
        peer.NamespaceSelector is { } namespaces ? new(null, namespaces, peer.PodSelector) : Within(@namespace, peer.PodSelector);

    /// <summary>Whether a pod is selected.</summary>
    /// <param name="namespace">Name of the pod's namespace.</param>
    /// <param name="namespaceLabels">Its labels; null when the namespace is not (yet) known.</param>
    /// <param name="labels">The pod's labels.</param>
    public bool Matches(string @namespace, Labels? namespaceLabels, Labels labels) => MatchesNamespace(@namespace, namespaceLabels) && PodSelector.Matches(labels);

    /// <summary>
    /// Whether pods of a namespace can be selected. Of a namespace that is not known only the name is certain, and with it the label
    /// <see cref="Model.Namespace.NameLabel"/>: requirements on any other label, negative ones too, do not hold (they would open what the labels may forbid).
    /// </summary>
    /// <param name="namespace">Its name.</param>
    /// <param name="labels">Its labels; null when it is not (yet) known.</param>
    public bool MatchesNamespace(string @namespace, Labels? labels)
    {
        if (IsOfUnknownNamespaces)
            return labels is null;
        if (Namespace is not null)
            return Namespace == @namespace;
        if (labels is not null)
            return NamespaceSelector.Matches(labels);
        foreach (var requirement in NamespaceSelector.Requirements)
        {
            if (requirement.Key != Model.Namespace.NameLabel || !requirement.Matches(Labels.Of(new Label(Model.Namespace.NameLabel, @namespace))))
                return false;
        }

        return true;
    }
}
