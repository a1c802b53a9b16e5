using System.Text.Json;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Kubernetes;

/// <summary>
/// What comes again and again in a cluster's objects (namespaces, nodes, labels, the ports of a Deployment's pods) as one value each. Bounded: what is new takes the place of something
/// else, which is then merely read anew. Not thread-safe.
/// </summary>
internal sealed class Pool
{
    private const int Longest = 64; // bytes; longer texts are seldom seen twice
    private readonly string?[] _texts = new string?[4096];
    private readonly Labels?[] _labels = new Labels?[1024];
    private readonly EquatableArray<NamedPort>[] _ports = new EquatableArray<NamedPort>[256];

    /// <summary>The text on which the reader stands.</summary>
    public string Read(ref Utf8JsonReader reader)
    {
        if (reader.HasValueSequence || reader.ValueIsEscaped || reader.ValueSpan.Length > Longest)
            return reader.GetString()!;
        Span<char> characters = stackalloc char[Longest];
        var text = characters[..reader.CopyString(characters)];
        ref var slot = ref _texts[string.GetHashCode(text) & (_texts.Length - 1)];
        if (slot is null || !text.SequenceEqual(slot))
            slot = text.ToString();
        return slot;
    }

    /// <summary>The pod, its labels and ports those of an equal pod before it.</summary>
    public Pod Share(Pod pod)
    {
        ref var labels = ref _labels[pod.Labels.GetHashCode() & (_labels.Length - 1)];
        if (!pod.Labels.Equals(labels))
            labels = pod.Labels;
        ref var ports = ref _ports[pod.Ports.GetHashCode() & (_ports.Length - 1)];
        if (ports != pod.Ports)
            ports = pod.Ports;
        return pod with { Labels = labels, Ports = ports };
    }
}
