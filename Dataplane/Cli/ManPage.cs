using System.CommandLine;
using System.Text;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cli;

/// <summary>Manual pages in the language of man(7), made from the commands themselves; pure.</summary>
internal static class ManPage
{
    /// <summary>The section: administration.</summary>
    public const int Section = 8;

    /// <summary>The program's name; that of the root command is that of whatever process this runs in.</summary>
    public const string Program = "overlay";

    private static readonly (string Path, string What)[] Files =
    [
        (ConfigurationReader.DefaultPath, "The configuration."),
        ("/etc/cni/net.d/05-overlay.conflist", "Makes the container runtime call overlay-cni; the agent writes it once it can serve."),
        ("/run/overlay/agent.sock", "Where the plugin and the other verbs find the agent."),
        ("/var/lib/overlay", "What a restarted agent must know."),
        ("/var/lib/cni/networks/overlay", "Addresses given to pods."),
    ];

    /// <summary>The page of the whole: verbs, configuration, files, exit codes.</summary>
    public static string OfProgram(Command root)
    {
        var text = Begin(Program, root.Description!, $"{Bold(Program)} {Italic("VERB")} [{Italic("OPTION")} ...]");
        text.Append(".SH COMMANDS\n");
        foreach (var verb in Visible(root))
            text.Append(".TP\n").Append(".BR ").Append(Hyphens($"{Program}-{verb.Name}")).Append($" ({Section})\n").Append(Text(FirstSentence(verb.Description!))).Append('\n');
        text.Append(".SH CONFIGURATION\n").Append(Text($"One YAML file, by default {ConfigurationReader.DefaultPath}. Flags win over environment variables, which win over the file.")).Append('\n');
        foreach (var key in ConfigurationKey.All)
        {
            text.Append(".TP\n").Append(Bold(key.Name)).Append(" (").Append(Bold(key.Flag)).Append(", ").Append(Bold(key.EnvironmentVariable)).Append(")\n");
            text.Append(Text($"{key.Description} {key.Accepted}{(key.Default.Length > 0 ? $" (default {key.Default})" : "")}.{(key.IsLive ? " A running agent follows a change of the file." : "")}")).Append('\n');
        }

        End(text, ".SH FILES\n" + string.Concat(Files.Select(file => $".TP\n{Italic(file.Path)}\n{Text(file.What)}\n")));
        return text.ToString();
    }

    /// <summary>The page of a verb.</summary>
    public static string OfVerb(Command verb)
    {
        var name = $"{Program}-{verb.Name}";
        var arguments = string.Concat(verb.Arguments.Select(argument => $" {Italic(argument.HelpName ?? argument.Name.ToUpperInvariant())}"));
        var text = Begin(name, verb.Description!, $"{Bold(Program)} {Bold(verb.Name)}{arguments} [{Italic("OPTION")} ...]");
        text.Append(".SH OPTIONS\n");
        foreach (var argument in verb.Arguments.Where(argument => !argument.Hidden))
            text.Append(".TP\n").Append(Italic(argument.HelpName ?? argument.Name.ToUpperInvariant())).Append('\n').Append(Text(argument.Description ?? "")).Append('\n');
        foreach (var option in verb.Options.Where(option => !option.Hidden))
        {
            text.Append(".TP\n").Append(string.Join(", ", option.Aliases.Prepend(option.Name).Order(StringComparer.Ordinal).Select(Bold)));
            text.Append(option.ValueType == typeof(bool) ? "" : $" {Italic(option.HelpName ?? option.Name.TrimStart('-').ToUpperInvariant())}").Append('\n').Append(Text(option.Description ?? "")).Append('\n');
        }

        End(text, "");
        return text.ToString();
    }

    /// <summary>The verbs that users are told of.</summary>
    public static IEnumerable<Command> Visible(Command root) => root.Subcommands.Where(verb => !verb.Hidden).OrderBy(verb => verb.Name, StringComparer.Ordinal);

    private static StringBuilder Begin(string name, string description, string synopsis)
    {
        var text = new StringBuilder();
        text.Append($".TH {Hyphens(name.ToUpperInvariant())} {Section} \"\" \"overlay {Version.Text}\" \"Overlay\"\n");
        text.Append(".SH NAME\n").Append(Hyphens(name)).Append(" \\- ").Append(Text(FirstSentence(description).TrimEnd('.'))).Append('\n');
        return text.Append(".SH SYNOPSIS\n").Append(synopsis).Append("\n.SH DESCRIPTION\n").Append(Text(description)).Append('\n');
    }

    private static void End(StringBuilder text, string more)
    {
        text.Append(".SH EXIT STATUS\n").Append(Text("0 means success, 1 failure, 2 a wrong command line or configuration.")).Append('\n').Append(more);
        text.Append(".SH SEE ALSO\n.BR overlay (8),\n.BR overlay\\-agent (8),\n.BR overlay\\-doctor (8),\n.BR overlay\\-status (8)\n");
    }

    // Up to a colon, if that comes first: what follows it are details.
    private static string FirstSentence(string text)
    {
        var end = text.IndexOf(". ", StringComparison.Ordinal) is >= 0 and var stop ? stop + 1 : text.Length;
        return text.IndexOf(": ", 0, end, StringComparison.Ordinal) is >= 0 and var colon ? text[..colon] + "." : text[..end];
    }

    private static string Bold(string text) => $"\\fB{Hyphens(text)}\\fR";

    private static string Italic(string text) => $"\\fI{Hyphens(text)}\\fR";

    // In names a hyphen is the character that one types.
    private static string Hyphens(string text) => Escape(text).Replace("-", "\\-", StringComparison.Ordinal);

    // In running text that of a flag only. A line that begins with a dot or an apostrophe would be a request.
    private static string Text(string text)
    {
        var words = Escape(text.ReplaceLineEndings(" ")).Split(' ').Select(word => word.StartsWith('-') || word.Contains('/', StringComparison.Ordinal) ? word.Replace("-", "\\-", StringComparison.Ordinal) : word);
        var line = string.Join(' ', words);
        return line.StartsWith('.') || line.StartsWith('\'') ? "\\&" + line : line;
    }

    private static string Escape(string text) => text.Replace("\\", "\\(rs", StringComparison.Ordinal).Replace("'", "\\(aq", StringComparison.Ordinal);
}
