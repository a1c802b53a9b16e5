using System.Text.Json.Serialization;

namespace Overlay.Dataplane.Doctor;

/// <summary>What a finding means for this node.</summary>
public enum Severity
{
    /// <summary>As it should be.</summary>
    [JsonStringEnumMemberName("pass")]
    Pass,

    /// <summary>It may be well: something works less than it could, or could not be checked.</summary>
    [JsonStringEnumMemberName("warn")]
    Warn,

    /// <summary>The node does not work, or not wholly, until this is remedied.</summary>
    [JsonStringEnumMemberName("fail")]
    Fail,
}

/// <summary>One line of <c>overlay doctor</c>.</summary>
/// <param name="Check">What was looked at, a word or two: <c>kernel</c>.</param>
/// <param name="Severity">What it means.</param>
/// <param name="What">What was found, one sentence without its full stop.</param>
/// <param name="Remedy">What to do, whole sentences; empty for what passes.</param>
internal sealed record Finding(string Check, Severity Severity, string What, string Remedy)
{
    /// <summary>As it should be.</summary>
    public static Finding Pass(string check, string what) => new(check, Severity.Pass, what, "");

    /// <summary>It may be well.</summary>
    public static Finding Warn(string check, string what, string remedy) => new(check, Severity.Warn, what, remedy);

    /// <summary>It is not.</summary>
    public static Finding Fail(string check, string what, string remedy) => new(check, Severity.Fail, what, remedy);
}
