using System.Buffers;
using System.Text;
using System.Text.Json;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cni;

/// <summary>The network configuration list that tells the container runtime to call <c>overlay-cni</c>, and the plugin where the agent and the addresses are.</summary>
/// <param name="Socket">The agent's socket.</param>
/// <param name="IpamDir">Folder of the address files (host-local's <c>dataDir</c>).</param>
/// <param name="PodCIDRs">The node's own prefixes; pods get one address per family, in the order in which families first occur.</param>
internal sealed record Conflist(string Socket, string IpamDir, EquatableArray<Cidr> PodCIDRs)
{
    /// <summary>The name of the network; also of the folder under <see cref="IpamDir"/>.</summary>
    public const string Network = "overlay";

    /// <summary>What a runtime may ask of a pod by <c>runtimeConfig</c> (CNI conventions); it sends nothing else. A node whose kernel cannot limit bandwidth has it too: there such a pod is refused, and does not run without limits.</summary>
    public static readonly IReadOnlyList<string> Capabilities = ["portMappings", "ips", "ipRanges", "mac", "dns", "bandwidth"];

    /// <summary>The text of the file.</summary>
    public string ToJson()
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
            Write(json);
        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }

    /// <summary>Puts the file there, whole or not at all, unless it already says the same.</summary>
    /// <param name="path">Where, e.g. <c>/etc/cni/net.d/05-overlay.conflist</c>; the folder is made when it is not there.</param>
    /// <returns>Whether anything was written.</returns>
    public bool WriteTo(string path)
    {
        var text = ToJson();
        if (File.Exists(path) && File.ReadAllText(path) == text)
            return false;
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);

        // In the same folder, by rename: containerd watches for renames, not for files that come from elsewhere; and no reader may see half of it.
        // The name must not end in .conf, .conflist or .json, or it would itself be loaded.
        var temporary = Path.Combine(folder, $".{Path.GetFileName(path)}.tmp");
        using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(Encoding.UTF8.GetBytes(text));
            file.Flush(flushToDisk: true);
        }

        File.Move(temporary, path, overwrite: true);
        return true;
    }

    /// <summary>Takes the file away; not being there is fine. Only for <c>uninstall</c>: without it a runtime can no longer delete its pods.</summary>
    public static void Remove(string path)
    {
        if (Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path))))
            File.Delete(path);
    }

    private void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("cniVersion", "1.0.0");

        // A runtime takes the highest it knows: STATUS and GC need 1.1.0, older runtimes ignore this key and still load the list.
        json.WriteStartArray("cniVersions");
        json.WriteStringValue("1.0.0");
        json.WriteStringValue("1.1.0");
        json.WriteEndArray();
        json.WriteString("name", Network);
        json.WriteStartArray("plugins");
        json.WriteStartObject();
        json.WriteString("type", "overlay-cni");
        json.WriteString("socket", Socket);
        json.WriteStartObject("capabilities");
        foreach (var capability in Capabilities)
            json.WriteBoolean(capability, true);
        json.WriteEndObject();
        json.WriteStartObject("ipam");
        json.WriteString("dataDir", IpamDir);
        json.WriteStartArray("ranges");
        foreach (var family in PodCIDRs.GroupBy(cidr => cidr.Family))
        {
            json.WriteStartArray();
            foreach (var cidr in family)
            {
                json.WriteStartObject();
                json.WriteString("subnet", cidr.Network.ToString());
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
