using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Overlay.Packaging;

/// <summary>
/// What the programs are made of, as a CycloneDX 1.5 document (cyclonedx.org/docs/1.5/json): the NuGet packages whose code is in them, by what the restore has resolved (obj/project.assets.json), .NET itself, and the
/// libraries that are linked in, by what the program says of them. Pure; without a time or a serial number, so that the same programs have the same bill.
/// </summary>
internal static partial class SoftwareBill
{
    private const string Framework = "net10.0";
    private const string Runtime = "Microsoft.NETCore.App.Runtime.NativeAOT";

    /// <summary>The bill.</summary>
    /// <param name="version">Of the programs.</param>
    /// <param name="runtimeIdentifier">What they are for: <c>linux-x64</c>.</param>
    /// <param name="assets">Each project's project.assets.json.</param>
    /// <param name="program">The program that has libraries linked in.</param>
    /// <exception cref="InvalidDataException">It is no such file.</exception>
    public static byte[] Of(string version, string runtimeIdentifier, IReadOnlyList<string> assets, byte[] program)
    {
        var components = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        var dependencies = new SortedDictionary<string, SortedSet<string>>(StringComparer.Ordinal) { ["overlay"] = new(StringComparer.Ordinal) };
        foreach (var project in assets.Select(Parse))
        {
            Add(Package($"{Runtime}.{runtimeIdentifier}", RuntimeVersion(project), null));
            foreach (var (key, target) in Part(project, "targets", Framework).Where(entry => IsInProgram(entry.Value!)))
            {
                var (name, packageVersion) = Split(key);
                Add(Package(name, packageVersion, (string?)Part(project, "libraries", key)["sha512"]));
                dependencies[Purl(name, packageVersion)] = new(
                    from dependency in target!["dependencies"]?.AsObject() ?? []
                    from candidate in Part(project, "targets", Framework)
                    where IsInProgram(candidate.Value!) && Split(candidate.Key).Name.Equals(dependency.Key, StringComparison.OrdinalIgnoreCase)
                    select Purl(candidate.Key), StringComparer.Ordinal);
            }
        }

        foreach (var (name, linked) in Linked(program))
            Add(new() { ["type"] = "library", ["bom-ref"] = $"pkg:generic/{name}@{linked}", ["name"] = name, ["version"] = linked, ["purl"] = $"pkg:generic/{name}@{linked}" });
        var document = Document(version, components.Values, dependencies);
        return Encoding.UTF8.GetBytes(document.ToJsonString(new() { WriteIndented = true, NewLine = "\n", Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }) + "\n");

        void Add(JsonObject component)
        {
            components[(string)component["bom-ref"]!] = component;
            dependencies["overlay"].Add((string)component["bom-ref"]!);
        }
    }

    private static JsonObject Document(string version, IEnumerable<JsonObject> components, IEnumerable<KeyValuePair<string, SortedSet<string>>> dependencies) => new()
    {
        ["bomFormat"] = "CycloneDX",
        ["specVersion"] = "1.5",
        ["version"] = 1,
        ["metadata"] = new JsonObject { ["component"] = new JsonObject { ["type"] = "application", ["bom-ref"] = "overlay", ["name"] = "overlay", ["version"] = version } },
        ["components"] = new JsonArray([.. components]),
        ["dependencies"] = new JsonArray([.. dependencies.Select(entry => new JsonObject { ["ref"] = entry.Key, ["dependsOn"] = new JsonArray([.. entry.Value.Select(name => JsonValue.Create(name))]) })]),
    };

    private static JsonObject Package(string name, string version, string? sha512)
    {
        var component = new JsonObject { ["type"] = "library", ["bom-ref"] = Purl(name, version), ["name"] = name, ["version"] = version, ["purl"] = Purl(name, version) };
        if (sha512 is not null)
            component["hashes"] = new JsonArray(new JsonObject { ["alg"] = "SHA-512", ["content"] = Convert.ToHexStringLower(Convert.FromBase64String(sha512)) });
        return component;
    }

    // What a library says of itself in a program that it is linked into; one that is not there says nothing.
    private static IEnumerable<(string Name, string Version)> Linked(byte[] program)
    {
        var text = Encoding.Latin1.GetString(program);
        if (OpenSsl().Match(text) is { Success: true } openssl)
            yield return ("openssl", openssl.Groups[1].Value);
        if (GnuC().Match(text) is { Success: true } glibc)
            yield return ("glibc", glibc.Groups[1].Value);
    }

    private static JsonObject Parse(string assets) => JsonNode.Parse(assets) as JsonObject ?? throw new InvalidDataException("project.assets.json holds no object.");

    private static JsonObject Part(JsonObject project, string first, string second) =>
        project[first]?[second] as JsonObject ?? throw new InvalidDataException($"project.assets.json has no {first} of {second}; restore the project anew.");

    private static string RuntimeVersion(JsonObject project) =>
        (from download in Part((JsonObject)project["project"]!, "frameworks", Framework)["downloadDependencies"]?.AsArray() ?? []
         where ((string)download["name"]!).StartsWith(Runtime + ".", StringComparison.Ordinal)
         select ((string)download["version"]!).Trim('[', ']').Split(',')[0]).FirstOrDefault()
        ?? throw new InvalidDataException($"project.assets.json does not name {Runtime}; it is not that of a published program.");

    // A package without code for run time (analyzers, compilers) is not in the program.
    private static bool IsInProgram(JsonNode target) =>
        (string?)target["type"] == "package" && target["runtime"] is JsonObject runtime && runtime.Any(file => !file.Key.EndsWith("/_._", StringComparison.Ordinal));

    private static (string Name, string Version) Split(string key) => (key.Split('/')[0], key.Split('/')[1]);

    private static string Purl(string key) => Purl(Split(key).Name, Split(key).Version);

    private static string Purl(string name, string version) => $"pkg:nuget/{name}@{version}";

    [GeneratedRegex(@"OpenSSL (\d+\.\d+\.\d+[a-z]?) \d{1,2} [A-Z][a-z]{2} \d{4}")]
    private static partial Regex OpenSsl();

    [GeneratedRegex(@"GNU C Library[^\0\n]* version (\d+\.\d+)")]
    private static partial Regex GnuC();
}
