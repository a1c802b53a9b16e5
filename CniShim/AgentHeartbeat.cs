using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>The file <c>heartbeat</c> beside the agent's socket: the agent touches it while its loop turns, and writes into it what it would answer to STATUS: <c>ok</c>, or
/// <c>unready</c> and a line with the reason. With it a node stays ready while its agent is restarted: pods run on, and an ADD waits.</summary>
internal static class AgentHeartbeat
{
    /// <summary>Older ones mean nothing: the agent touches it three times as often.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(45);

    /// <summary>Returns when the agent was well a moment ago.</summary>
    /// <param name="socketPath">The agent's socket.</param>
    /// <param name="whyNoAnswer">A sentence, for an error.</param>
    /// <exception cref="CniException">With code 51: it was not; with code 50: nobody knows.</exception>
    public static void Require(string socketPath, string whyNoAnswer)
    {
        var file = Path.Combine(Path.GetDirectoryName(socketPath) ?? "/", "heartbeat");
        string[] lines;
        try
        {
            lines = (DateTime.UtcNow - File.GetLastWriteTimeUtc(file)).Duration() < Lifetime ? File.ReadAllLines(file) : [];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            lines = [];
        }

        if (lines is ["ok", ..])
            return;
        if (lines is ["unready", ..])
            throw new CniException(CniErrorCode.LimitedConnectivity, lines is [_, { Length: > 0 } reason, ..] ? reason : "the agent of this node is not ready", whyNoAnswer);
        throw new CniException(CniErrorCode.NotAvailable, whyNoAnswer, AgentClient.Remedy);
    }
}
