using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Threading.Channels;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Cli;

/// <summary>What an agent would put into its node's kernel, computed from the datastore without a kernel.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Projected">Its rows.</param>
/// <param name="Ruleset">Its nftables table.</param>
/// <param name="Rejections">What of the datastore could not be understood.</param>
internal sealed record Rendering(string Node, ProjectedNode Projected, Ruleset Ruleset, EquatableArray<Rejection> Rejections)
{
    /// <summary>What keeps this node itself from working: it is not in the datastore (a mistyped name?), or lacks prefixes or an address.</summary>
    public IEnumerable<Degradation> OfThisNode => Projected.Degradations.Where(degradation => degradation.Subject == $"Node {Node}");

    /// <summary>Reads the folder once and computes. Pods that an agent of this node has told of are rendered as it wired them; other pods with
    /// spec.nodeName of this node and known addresses count as wired for the ruleset, and have no routes, since no interface of theirs is known.</summary>
    /// <param name="directory">The datastore's folder.</param>
    /// <param name="configuration">Of the node.</param>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    public static Rendering OfFolder(string directory, OverlayConfiguration configuration)
    {
        var scan = new DirectoryScan(Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory)));
        if (!scan.LookAtAll())
            throw new DirectoryNotFoundException($"The datastore's folder {directory} does not exist; create it, or set datastore to another.");
        var store = new ClusterStore();
        foreach (var change in scan.TakeChanges())
            store.Apply(change);
        foreach (var status in scan.Statuses.Where(status => status.Node == configuration.NodeName && status.ContainerId.Length > 0))
            store.Attach(Wired(status));
        return Of(store, configuration);
    }

    /// <summary>Lists everything that an API server holds and computes; pods count as wired as above.</summary>
    /// <param name="configuration">Of the node.</param>
    /// <param name="cancellation">Stops it.</param>
    /// <exception cref="IOException">The API server cannot be asked, or refuses.</exception>
    public static async Task<Rendering> OfApiServerAsync(OverlayConfiguration configuration, CancellationToken cancellation)
    {
        var changes = Channel.CreateUnbounded<ClusterChange>();
        var timing = new ListWatchTiming();
        using var server = ApiServer.Open(configuration, timing);
        using var watch = new ClusterWatch(server, configuration.NodeName, changes.Writer, new(server, configuration.NodeName, timing), timing);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var store = new ClusterStore();
        var running = watch.RunAsync(stop.Token);
        try
        {
            while (!store.IsSynced)
            {
                var change = await changes.Reader.ReadAsync(cancellation);
                if (change is ClusterChange.SourceFailing { Reason: { Length: > 0 } reason, Source: var source })
                    throw new IOException($"{source}: {reason}");
                store.Apply(change);
            }
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return Of(store, configuration);
    }

    private static Rendering Of(ClusterStore store, OverlayConfiguration configuration)
    {
        var wired = store.Attachments.ToList();
        foreach (var pod in store.Pods.Where(pod => pod.NodeName == configuration.NodeName && !pod.HostNetwork && pod.Addresses.Count > 0 && !store.IsLocal(pod.Name)).ToList())
            store.Attach(new(pod.Name.ToString(), "", pod.Name, "", "", "", default, pod.Addresses, ""));

        var known = store.Nodes.FirstOrDefault(node => node.Name == configuration.NodeName);
        var underlay = Underlay.Assumed(configuration.NodeAddress, known?.Underlay ?? []);
        var projected = NodeProjection.Project(configuration.NodeName, store.Nodes, configuration, wired, underlay);
        var ruleset = RulesetProjection.FromScratch(store.ToClusterState(configuration.Ruleset, projected.Network));
        return new(configuration.NodeName, projected, ruleset, store.Rejections.ToEquatableArray());
    }

    /// <summary>As nft(8), ip(8) and bridge(8) show it.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        text.Append("# Node ").Append(Node).Append(", pods' MTU ").Append(Projected.Mtu).Append(" over an underlay of ").Append(Underlay.EthernetMtu).Append(" bytes\n");
        foreach (var degradation in Projected.Degradations)
            text.Append("# degraded: ").Append(degradation).Append('\n');
        return text.Append(NftText.Print(Ruleset)).Append(NodeText.Print(Projected.Rows)).ToString();
    }

    /// <summary>The same as one JSON object; rows and ruleset as text.</summary>
    public string ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        var options = new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(buffer, options))
        {
            json.WriteStartObject();
            json.WriteString("node", Node);
            json.WriteNumber("mtu", Projected.Mtu);
            json.WriteString("ruleset", NftText.Print(Ruleset));
            Write(json, "links", Projected.Rows.Links);
            Write(json, "addresses", Projected.Rows.Addresses);
            Write(json, "neighbours", Projected.Rows.Neighbors);
            Write(json, "fdb", Projected.Rows.Fdb);
            Write(json, "routes", Projected.Rows.Routes);
            Write(json, "degraded", Projected.Degradations);
            Write(json, "rejected", Rejections);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    private static Attachment Wired(PodStatus status)
    {
        var ifName = status.IfName.Length > 0 ? status.IfName : "eth0";
        return new(
            status.ContainerId,
            ifName,
            status.Pod,
            status.Uid,
            "",
            Ownership.PodInterface(status.ContainerId, ifName),
            Ownership.PodMac(status.ContainerId, ifName),
            status.Addresses,
            "");
    }

    private static void Write<T>(Utf8JsonWriter json, string name, EquatableArray<T> rows)
        where T : notnull
    {
        json.WriteStartArray(name);
        foreach (var row in rows)
            json.WriteStringValue(row.ToString());
        json.WriteEndArray();
    }
}
