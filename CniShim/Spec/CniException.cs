using System.Text.Json;
using Overlay.CniShim.Protocol;

namespace Overlay.CniShim.Spec;

/// <summary>What ends a call without success. Whatever undo is needed has been done by whoever lets it pass.</summary>
/// <param name="code">See <see cref="CniErrorCode"/>.</param>
/// <param name="msg">One clear sentence.</param>
/// <param name="details">More, or empty.</param>
internal class CniException(int code, string msg, string details = "") : Exception(msg)
{
    /// <summary>CNI's error code.</summary>
    public int Code { get; } = code;

    /// <summary>More, or empty.</summary>
    public string Details { get; } = details;

    /// <summary>The agent's error, word for word.</summary>
    public CniException(AgentError error)
        : this(error.Code, error.Msg, error.Details)
    {
    }

    /// <summary>Prints the error document.</summary>
    /// <param name="json">Where to.</param>
    /// <param name="cniVersion">The configuration's version, or our highest when it could not be read.</param>
    public void Write(Utf8JsonWriter json, string cniVersion)
    {
        json.WriteStartObject();
        json.WriteString("cniVersion", cniVersion);
        json.WriteNumber("code", Code);
        json.WriteString("msg", Message);
        if (Details.Length > 0)
            json.WriteString("details", Details);
        json.WriteEndObject();
    }
}
