using System.Globalization;

namespace Overlay.Dataplane.Yaml;

/// <summary>A node of a YAML document, or of a JSON one, which is YAML too. A closed family.</summary>
/// <param name="Line">1-based line it begins on.</param>
public abstract record YamlNode(int Line)
{
    /// <summary>What it is, for messages: <c>a list</c>.</summary>
    public abstract string Noun { get; }

    /// <summary>A text, number, boolean or nothing.</summary>
    /// <param name="Line">1-based.</param>
    /// <param name="Text">Without quotes.</param>
    /// <param name="IsPlain">Written without quotes, so that it may mean something other than text.</param>
    public sealed record Scalar(int Line, string Text, bool IsPlain) : YamlNode(Line)
    {
        /// <summary>Whether it stands for nothing: an empty value, <c>null</c> or <c>~</c>.</summary>
        public bool IsNull => IsPlain && Text is "" or "~" or "null" or "Null" or "NULL";

        /// <summary>Whether it is text, not what YAML reads as nothing, a boolean or a number.</summary>
        public bool IsText => !IsPlain || !(IsNull || IsBoolean || IsNumber);

        // As kubectl's parser has it (YAML 1.1 without y and n).
        private bool IsBoolean => Text is "true" or "True" or "TRUE" or "false" or "False" or "FALSE" or "yes" or "Yes" or "YES" or "no" or "No" or "NO" or "on" or "On" or "ON" or "off" or "Off" or "OFF";

        private bool IsNumber =>
            Text.Length > 0 && (char.IsAsciiDigit(Text[0]) || Text[0] is '+' or '-' or '.') && (
                double.TryParse(Text.Replace("_", "", StringComparison.Ordinal), NumberStyles.Float, CultureInfo.InvariantCulture, out _)
                || Text.TrimStart('+', '-') is ".inf" or ".Inf" or ".INF" or ".nan" or ".NaN" or ".NAN"
                || (Text is ['0', 'x' or 'o' or 'b', _, ..] && Text.Skip(2).All(char.IsAsciiHexDigit)));

        /// <inheritdoc/>
        public override string Noun => IsNull ? "nothing" : IsText ? $"the text \"{Text}\"" : $"the {(IsBoolean ? "boolean" : "number")} {Text}";
    }

    /// <summary>A list.</summary>
    /// <param name="Line">1-based.</param>
    /// <param name="Items">In order.</param>
    public sealed record Sequence(int Line, IReadOnlyList<YamlNode> Items) : YamlNode(Line)
    {
        /// <inheritdoc/>
        public override string Noun => "a list";
    }

    /// <summary>Keys and values.</summary>
    /// <param name="Line">1-based.</param>
    /// <param name="Entries">In order; keys are unique.</param>
    public sealed record Mapping(int Line, IReadOnlyList<KeyValuePair<Scalar, YamlNode>> Entries) : YamlNode(Line)
    {
        /// <inheritdoc/>
        public override string Noun => "a mapping";
    }
}
