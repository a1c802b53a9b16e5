using System.Collections;
using System.CommandLine;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cli;

/// <summary>The configuration as options of a verb: <c>--config</c>, and one for every key.</summary>
internal sealed class ConfigurationOptions
{
    private readonly Option<string?> _config = new("--config") { Description = $"Configuration file (default {ConfigurationReader.DefaultPath}; flags win over OVERLAY_* environment variables, these over the file).", HelpName = "FILE" };
    private readonly List<(ConfigurationKey Key, Option<string?> Option)> _keys = [];

    private ConfigurationOptions()
    {
        foreach (var key in ConfigurationKey.All)
        {
            var text = $"{key.Description} {key.Accepted}{(key.Default.Length > 0 ? $" (default {key.Default})" : "")}.";
            _keys.Add((key, new Option<string?>(key.Flag) { Description = text, HelpName = "VALUE" }));
        }
    }

    /// <summary>Adds the options to a verb.</summary>
    public static ConfigurationOptions AddTo(Command command)
    {
        var options = new ConfigurationOptions();
        command.Add(options._config);
        foreach (var (_, option) in options._keys)
            command.Add(option);
        return options;
    }

    /// <summary>The configuration that a command line, this process's environment and the file make together.</summary>
    public ConfigurationReading Read(ParseResult result)
    {
        var flags = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, option) in _keys)
        {
            if (result.GetValue(option) is { } value)
                flags[key.Name] = value;
        }

        return ConfigurationReader.Read(result.GetValue(_config), Variables(), flags);
    }

    /// <summary>This process's environment variables.</summary>
    public static Dictionary<string, string> Variables() => Environment.GetEnvironmentVariables()
        .Cast<DictionaryEntry>()
        .ToDictionary(entry => (string)entry.Key, entry => entry.Value as string ?? "", StringComparer.Ordinal);
}
