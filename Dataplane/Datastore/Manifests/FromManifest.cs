using System.Security.Cryptography;
using System.Text;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Datastore.Manifests;

/// <summary>
/// Manifests → model, for both datastores: files of YAML or JSON, and what an API server holds. Pure. Checks what the API server would check before it stored the object.
/// <para>
/// An object that is wrong in any field is rejected as a whole, every problem of it reported. Of a rejected NetworkPolicy a stand-in remains: it isolates
/// the pods that the policy selects (all of its namespace when even that cannot be read) in every direction it may have meant, and allows nothing.
/// Of a rejected Pod one remains to which and from which nothing passes. A Node of which only labels are wrong is taken without these.
/// Of a ClusterNetworkPolicy only the rules that are wrong fail closed (Accept matches nothing, Deny and Pass deny everything), unless something outside of its rules
/// is wrong: then it denies everything its subject selects.
/// </para>
/// </summary>
public static partial class FromManifest
{
    private const int LongestText = 1000;
    private static readonly string[] Groups = ["networking.k8s.io", "policy.networking.k8s.io"];
    private static readonly string[] Kinds = ["Node", "Namespace", "Pod", "NetworkPolicy", "ClusterNetworkPolicy"];

    /// <summary>Reads a file's text: any number of documents. Nothing in it throws: it becomes a <see cref="Rejection"/>.</summary>
    /// <param name="source">Name of the file, for rejections.</param>
    /// <param name="text">YAML or JSON.</param>
    public static ManifestFile Read(string source, string text)
    {
        var reading = new Reading(source);
        foreach (var document in YamlText.Read(text))
        {
            if (document.Root is { } root)
            {
                ReadObject(root, reading, listKind: null, document.Flaws);
                continue;
            }

            reading.IsBroken = true;
            reading.Rejections.Add(new(source, document.Line, "", default, "", Short(document.Error!)));
        }

        return new(reading.Found.ToEquatableArray(), reading.Rejections.ToEquatableArray(), reading.Skipped.Values.ToEquatableArray(), reading.IsBroken);
    }

    /// <summary>Reads one object that an API server holds: <paramref name="kind"/> is known from where it was found, and so is its version.</summary>
    /// <param name="source">The object's API path, for rejections.</param>
    /// <param name="kind">One of the kinds that concern us.</param>
    /// <param name="root">What it says.</param>
    internal static ManifestFile Read(string source, string kind, YamlNode root)
    {
        var reading = new Reading(source);
        ReadObject(root, reading, kind, []);
        return new(reading.Found.ToEquatableArray(), reading.Rejections.ToEquatableArray(), reading.Skipped.Values.ToEquatableArray(), reading.IsBroken);
    }

    // listKind: null outside a list, else the kind that the list's own name gives its items, or empty.
    private static void ReadObject(YamlNode node, Reading reading, string? listKind, IReadOnlyList<FieldProblem> flaws)
    {
        var problems = flaws.ToList();
        var root = new Fields(node, "", problems);
        var kind = root.Text("kind") ?? listKind ?? "";
        var apiVersion = root.Text("apiVersion") ?? (listKind is { Length: > 0 } ? DefaultVersion(listKind) : "");
        if (kind.EndsWith("List", StringComparison.Ordinal) && (kind == "List" || Kinds.Contains(kind[..^"List".Length]) || root.Node("items") is YamlNode.Sequence))
        {
            ReadList(root, reading, kind, problems);
            return;
        }

        if (kind.Length == 0 && problems.Count == 0)
            root.Reject("kind", "it is missing; every manifest needs apiVersion, kind and metadata.name.");
        kind = Recognise(root, kind, apiVersion, problems);
        var name = default(NamespacedName);
        if (kind is "NetworkPolicy")
        {
            name = ReadName(root, kind, problems);
            if (ReadNetworkPolicy(root, name, reading.StandInName(name, root.Line), problems) is { } policy)
                reading.Found.Add(new(kind, policy.Name, root.Line, new ClusterChange.PolicySet(policy)));
        }
        else if (kind is "ClusterNetworkPolicy")
        {
            name = ReadName(root, kind, problems);
            var policy = ReadClusterNetworkPolicy(root, name, reading.StandInName(name, root.Line), problems);
            reading.Found.Add(new(kind, policy.Name, root.Line, new ClusterChange.PolicySet(policy)));
        }
        else if (kind is "Node" or "Namespace" or "Pod")
        {
            name = ReadName(root, kind, problems);
            var change = ReadPlainObject(kind, root, name);
            if ((problems.Count == 0 ? change : StandIn(change, problems)) is { } inForce)
                reading.Found.Add(new(kind, name, root.Line, inForce));
        }
        else if (problems.Count == 0)
            reading.Skip(root.Line, apiVersion.Length == 0 ? kind : $"{apiVersion} {kind}");
        foreach (var problem in problems.Distinct())
            reading.Rejections.Add(new(reading.Source, problem.Line, kind, name, Short(problem.Field), Short(problem.Reason)));
    }

    // Items have flaws of their own. A list that cannot be read hides objects, as a broken document does.
    private static void ReadList(Fields root, Reading reading, string kind, List<FieldProblem> problems)
    {
        var items = root.List("items");
        if (!root.Has("items"))
            root.Reject("items", "it is missing; a list has its objects there.");
        foreach (var problem in problems.Where(problem => !problem.Field.StartsWith("items[", StringComparison.Ordinal)).Distinct())
        {
            reading.IsBroken |= problem.Field is "items" or "";
            reading.Rejections.Add(new(reading.Source, problem.Line, kind, default, Short(problem.Field), Short(problem.Reason)));
        }

        foreach (var (i, item) in items.Index())
        {
            var path = $"items[{i}]";
            var within = problems.Where(problem => problem.Field.StartsWith(path, StringComparison.Ordinal)).Select(problem => problem with { Field = problem.Field[path.Length..].TrimStart('.') });
            ReadObject(item, reading, kind[..^"List".Length], [.. within]);
        }
    }

    // The kind that is meant, or one that is none of ours. What resembles one of ours is a mistake, not another kind.
    private static string Recognise(Fields root, string kind, string apiVersion, List<FieldProblem> problems)
    {
        if (kind.Length == 0)
            return kind;
        var group = apiVersion.Split('/') is [var before, _] ? before : "";
        if (!Kinds.Contains(kind))
        {
            if (group.Length > 0 && Spelling.Nearest(group, Groups) is null)
                return kind;
            var singular = kind.EndsWith("ies", StringComparison.OrdinalIgnoreCase) ? $"{kind[..^"ies".Length]}y" : kind;
            if (Spelling.Nearest(singular, Kinds) is not { } meant)
                return kind;
            root.Reject("kind", $"there is no kind {kind}; is {meant} meant?");
            return meant;
        }

        var expected = DefaultVersion(kind);
        if (apiVersion == expected)
            return kind;
        if (group.Length > 0 && group != "extensions" && Spelling.Nearest(group, Groups) is null)
            return $"{kind} of another group"; // such as another project's NetworkPolicy
        if (problems.Count == 0 || apiVersion.Length > 0)
            root.Reject("apiVersion", $"{(apiVersion.Length == 0 ? "it is missing" : $"there is no {apiVersion} {kind}")}; {expected} is expected.");
        return kind;
    }

    // What somebody wrote is quoted, and may be of any length.
    private static string Short(string text) => text.Length <= LongestText ? text : $"{text[..LongestText]} … and {text.Length - LongestText} characters more.";

    private static string DefaultVersion(string kind) => kind switch
    {
        "NetworkPolicy" => "networking.k8s.io/v1",
        "ClusterNetworkPolicy" => "policy.networking.k8s.io/v1alpha2",
        _ => "v1",
    };

    private sealed class Reading(string source)
    {
        public string Source { get; } = source;

        public List<ManifestObject> Found { get; } = [];

        public List<Rejection> Rejections { get; } = [];

        public bool IsBroken { get; set; }

        public Dictionary<string, ClusterChange.Skipped> Skipped { get; } = new(StringComparer.Ordinal);

        public void Skip(int line, string kind) => Skipped.TryAdd(kind, new(Source, line, kind));

        // Under which name a policy is isolated whose own cannot be used: safe in chain names, the same for the same text.
        public NamespacedName StandInName(NamespacedName name, int line)
        {
            if (KubernetesName.IsSubdomain(name.Name))
                return name;
            var hash = SHA256.HashData(Encoding.UTF8.GetBytes($"{Source}\n{line}\n{name.Name}"));
            return name with { Name = $"rejected-{Convert.ToHexStringLower(hash)[..8]}" };
        }
    }
}
