using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace Overlay.Packaging;

/// <summary>A container image as a tar of an OCI image layout (image-spec, image-layout.md), which containerd imports: <c>ctr -n k8s.io images import FILE</c>.</summary>
internal static class OciArchive
{
    private const string Created = "1970-01-01T00:00:00Z";
    private const string IndexMediaType = "application/vnd.oci.image.index.v1+json";

    /// <summary>An image whose one layer holds nothing but these programs; of several architectures, each node takes its own.</summary>
    /// <param name="name">Full name and tag, such as <c>localhost/overlay:0.1.0</c>.</param>
    /// <param name="version">The version, for its labels.</param>
    /// <param name="images">For each architecture statically linked programs by name; the first is the entry point.</param>
    /// <returns>The architectures, in the order given, and the archive.</returns>
    /// <exception cref="InvalidDataException">One is no such program.</exception>
    public static (IReadOnlyList<string> Architectures, byte[] Content) Of(string name, string version, params IReadOnlyList<IReadOnlyList<KeyValuePair<string, byte[]>>> images)
    {
        var blobs = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        var manifests = images.Select(programs => Manifest(blobs, version, programs)).ToList();
        var architectures = manifests.Select(manifest => (string)manifest["platform"]!["architecture"]!).ToList();
        if (architectures.Distinct().Count() != architectures.Count)
            throw new InvalidDataException($"Two images of one architecture: {string.Join(", ", architectures)}.");
        var named = manifests is [var only] ? only : Blob(blobs, IndexMediaType, Json(Index(manifests)));
        named["annotations"] = new JsonObject
        {
            ["io.containerd.image.name"] = name,
            ["org.opencontainers.image.ref.name"] = name,
        };
        return (architectures, ReproducibleTar.Of(
            [
                new("oci-layout", Json(new JsonObject { ["imageLayoutVersion"] = "1.0.0" })),
                new("index.json", Json(Index([named]))),
                .. blobs.Select(blob => new KeyValuePair<string, byte[]>($"blobs/sha256/{blob.Key}", blob.Value)),
            ],
            executable: false));
    }

    private static JsonObject Manifest(Dictionary<string, byte[]> blobs, string version, IReadOnlyList<KeyValuePair<string, byte[]>> programs)
    {
        var architectures = programs.Select(program => ElfProgram.ArchitectureOf(program.Key, program.Value)).Distinct().ToList();
        if (architectures is not [var architecture])
            throw new InvalidDataException($"Programs of different architectures: {string.Join(", ", architectures)}.");
        var layer = ReproducibleTar.Of(programs, executable: true);
        var config = Blob(blobs, "application/vnd.oci.image.config.v1+json", Json(Configuration(architecture, version, "/" + programs[0].Key, layer)));
        var manifest = Blob(blobs, "application/vnd.oci.image.manifest.v1+json", Json(new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = "application/vnd.oci.image.manifest.v1+json",
            ["config"] = config,
            ["layers"] = new JsonArray(Blob(blobs, "application/vnd.oci.image.layer.v1.tar+gzip", ReproducibleTar.Gzip(layer))),
        }));
        manifest["platform"] = Platform(architecture);
        return manifest;
    }

    private static JsonObject Index(IEnumerable<JsonObject> manifests) => new()
    {
        ["schemaVersion"] = 2,
        ["mediaType"] = IndexMediaType,
        ["manifests"] = new JsonArray([.. manifests]),
    };

    private static JsonObject Configuration(string architecture, string version, string program, byte[] layer)
    {
        var configuration = Platform(architecture);
        configuration["created"] = Created;
        configuration["config"] = new JsonObject
        {
            ["Entrypoint"] = new JsonArray(program),
            ["WorkingDir"] = "/",
            ["Labels"] = new JsonObject { ["org.opencontainers.image.title"] = "overlay", ["org.opencontainers.image.version"] = version },
        };
        configuration["rootfs"] = new JsonObject { ["type"] = "layers", ["diff_ids"] = new JsonArray("sha256:" + Digest(layer)) };
        configuration["history"] = new JsonArray(new JsonObject { ["created"] = Created, ["created_by"] = "./build.ps1 package" });
        return configuration;
    }

    private static JsonObject Platform(string architecture)
    {
        var platform = new JsonObject { ["architecture"] = architecture, ["os"] = "linux" };
        if (architecture is "arm64" or "arm")
            platform["variant"] = architecture == "arm64" ? "v8" : "v7";
        return platform;
    }

    private static JsonObject Blob(Dictionary<string, byte[]> blobs, string mediaType, byte[] content)
    {
        var digest = Digest(content);
        blobs[digest] = content;
        return new() { ["mediaType"] = mediaType, ["digest"] = "sha256:" + digest, ["size"] = content.Length };
    }

    private static string Digest(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

    private static byte[] Json(JsonObject document) => Encoding.UTF8.GetBytes(document.ToJsonString());
}
