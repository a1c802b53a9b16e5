using Overlay.Dataplane.Yaml;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary>A configuration, or why there is none.</summary>
/// <param name="Configuration">Null when there are errors.</param>
/// <param name="Errors">Clear sentences, each with its place; empty when there is a configuration.</param>
public sealed record ConfigurationReading(OverlayConfiguration? Configuration, EquatableArray<string> Errors)
{
    /// <summary>The values given, by key; of several, the one that won.</summary>
    public IReadOnlyDictionary<string, string> Texts { get; init; } = new Dictionary<string, string>();

    /// <summary>Whether there was a file.</summary>
    public bool HasFile { get; init; }
}

/// <summary>Reads the configuration: flags over environment over file over defaults.</summary>
public static class ConfigurationReader
{
    /// <summary>Where the file is looked for when no path is given.</summary>
    public const string DefaultPath = "/etc/overlay/overlay.yaml";

    /// <summary>Reads.</summary>
    /// <param name="path">The file; it must exist when given. Null: <see cref="DefaultPath"/>, which may be absent.</param>
    /// <param name="environment">Environment variables. One that only resembles a key's is refused; others are nobody's business
    /// (a Service called overlay puts OVERLAY_PORT and more into every pod).</param>
    /// <param name="flags">Values by key (<c>vxlan.port</c>).</param>
    public static ConfigurationReading Read(string? path, IReadOnlyDictionary<string, string> environment, IReadOnlyDictionary<string, string> flags)
    {
        string? text;
        try
        {
            text = path is null && !File.Exists(DefaultPath) ? null : File.ReadAllText(path ?? DefaultPath);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new(null, [$"{path ?? DefaultPath}: the configuration cannot be read: {e.Message}"]);
        }

        return Read(path ?? DefaultPath, text, environment, flags);
    }

    /// <summary>Reads; pure.</summary>
    /// <param name="source">Name of the file, for errors.</param>
    /// <param name="text">Content of the file, or null when there is none.</param>
    /// <param name="environment">Environment variables.</param>
    /// <param name="flags">Values by key (<c>vxlan.port</c>).</param>
    public static ConfigurationReading Read(
        string source, string? text, IReadOnlyDictionary<string, string> environment, IReadOnlyDictionary<string, string> flags)
    {
        var errors = new List<string>();
        var settings = text is null ? [] : FileSettings(source, text, errors);
        settings.AddRange(EnvironmentSettings(environment, errors));
        settings.AddRange(ConfigurationKey.All.Where(key => flags.ContainsKey(key.Name)).Select(key => new Setting(key, flags[key.Name], key.Flag)));

        // Each source is checked, also where a stronger one overrules it.
        var configuration = new OverlayConfiguration();
        foreach (var (key, value, place) in settings)
        {
            if (key.With(configuration, value) is { } changed)
                configuration = changed;
            else
                errors.Add($"{place}: \"{value}\" is no value of {key.Name}; accepted: {key.Accepted}.");
        }

        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value, _) in settings)
            texts[key.Name] = value;
        return new(errors.Count > 0 ? null : configuration, errors.ToEquatableArray()) { Texts = texts, HasFile = text is not null };
    }

    private static List<Setting> FileSettings(string source, string text, List<string> errors)
    {
        var settings = new List<Setting>();
        var documents = YamlText.Read(text);
        foreach (var broken in documents.Where(document => document.Root is null))
            errors.Add($"{source}:{broken.Line}: {broken.Error}");
        foreach (var flaw in documents.SelectMany(document => document.Flaws))
            errors.Add($"{source}:{flaw.Line}: {(flaw.Field.Length > 0 ? $"{flaw.Field}: " : "")}{flaw.Reason}");
        if (documents.Count > 1)
            errors.Add($"{source}:{documents[1].Line}: a second document begins here; the configuration is one.");
        if (errors.Count > 0 || documents.Count == 0)
            return settings;
        if (documents[0].Root is YamlNode.Mapping root)
            AddSettings(root, "", source, settings, errors);
        else
            errors.Add($"{source}:{documents[0].Line}: {documents[0].Root!.Noun} stands where keys are expected, such as \"encapsulation: vxlan\".");
        return settings;
    }

    // Keys may be nested (vxlan: {port: 4789}) or written with their dot.
    private static void AddSettings(YamlNode.Mapping mapping, string prefix, string source, List<Setting> settings, List<string> errors)
    {
        foreach (var (name, value) in mapping.Entries)
        {
            var path = prefix + name.Text;
            var place = $"{source}:{name.Line}";
            if (Find(path) is { } key)
            {
                if (settings.Any(setting => setting.Key == key))
                    errors.Add($"{place}: {key.Name} is there twice; keep one.");
                else if (value is YamlNode.Scalar { IsNull: true })
                    continue; // as in the API, a key without a value is absent
                else if (TextOf(value) is { } text)
                    settings.Add(new(key, text, place));
                else
                    errors.Add($"{place}: {value.Noun} is no value of {key.Name}; accepted: {key.Accepted}.");
            }
            else if (ConfigurationKey.All.Any(candidate => candidate.Name.StartsWith(path + '.', StringComparison.Ordinal)))
            {
                if (value is YamlNode.Mapping inner)
                    AddSettings(inner, path + '.', source, settings, errors);
                else
                    errors.Add($"{place}: {value.Noun} stands where the keys of {path} are expected: {Keys(path + '.')}.");
            }
            else
            {
                var meant = Spelling.Nearest(path, ConfigurationKey.All.Select(candidate => candidate.Name));
                errors.Add($"{place}: there is no key {path}; {(meant is null ? $"accepted: {Keys(prefix)}." : $"is {meant} meant?")}");
            }
        }
    }

    private static List<Setting> EnvironmentSettings(IReadOnlyDictionary<string, string> environment, List<string> errors)
    {
        var settings = new List<Setting>();
        foreach (var (name, value) in environment.Where(variable => variable.Key.StartsWith("OVERLAY_", StringComparison.Ordinal)).OrderBy(variable => variable.Key, StringComparer.Ordinal))
        {
            if (ConfigurationKey.All.FirstOrDefault(key => key.EnvironmentVariable == name) is { } key)
                settings.Add(new(key, value, $"environment variable {name}"));
            else if (Spelling.Nearest(name, ConfigurationKey.All.Select(key => key.EnvironmentVariable)) is { } meant)
                errors.Add($"environment variable {name}: there is no such key; is {meant} meant?");
        }

        return settings;
    }

    private static ConfigurationKey? Find(string name) => ConfigurationKey.All.FirstOrDefault(key => key.Name == name);

    private static string Keys(string prefix) => string.Join(", ", ConfigurationKey.All.Select(key => key.Name).Where(name => name.StartsWith(prefix, StringComparison.Ordinal)));

    private static string? TextOf(YamlNode value) => value switch
    {
        YamlNode.Scalar scalar => scalar.Text,
        YamlNode.Sequence sequence when sequence.Items.All(item => item is YamlNode.Scalar { IsNull: false }) => string.Join(',', sequence.Items.Cast<YamlNode.Scalar>().Select(item => item.Text)),
        _ => null,
    };

    private readonly record struct Setting(ConfigurationKey Key, string Value, string Place);
}
