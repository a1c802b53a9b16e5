using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>Asks the agent: one connection, one line each way (<see cref="AgentRequest"/>).</summary>
/// <param name="socketPath">The agent's socket.</param>
internal sealed class AgentClient(string socketPath)
{
    /// <summary>What to do when the agent does not answer.</summary>
    public const string Remedy = "is `overlay agent` running on this node, and does its `socket` agree with the conflist?";

    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(50);

    /// <summary>Asks and waits for the answer.</summary>
    /// <param name="request">What.</param>
    /// <param name="connectBy">Until when to try again while no agent listens.</param>
    /// <param name="answerBy">Until when to wait for the answer.</param>
    /// <param name="meanwhile">What to do while the agent works on it.</param>
    /// <param name="whyNot">A sentence, when there is no answer.</param>
    /// <returns>Null when there is no answer: no agent, or none in time. Closing then tells an agent that still works on it to undo an ADD.</returns>
    /// <exception cref="CniException">With code 5 or 6: the socket may not be used, or what comes back is no answer.</exception>
    public AgentResponse? Ask(AgentRequest request, Deadline connectBy, Deadline answerBy, Action? meanwhile, out string whyNot)
    {
        using var stream = Connect(Deadline.Earlier(connectBy, answerBy), answerBy, out whyNot);
        if (stream is null)
            return null;
        try
        {
            stream.WriteTimeout = answerBy.Milliseconds;
            stream.Write(AgentLine.Of(request));
            meanwhile?.Invoke();
            if (Receive(stream, answerBy) is { } answer)
                return answer;
            whyNot = $"the agent at {socketPath} ended without an answer";
        }
        catch (TimeoutException)
        {
            whyNot = $"the agent at {socketPath} did not answer in time";
        }
        catch (IOException error)
        {
            whyNot = $"the agent at {socketPath} ended without an answer: {error.Message}";
        }

        return null;
    }

    private Stream? Connect(Deadline retryUntil, Deadline deadline, out string whyNot)
    {
        while (true)
        {
            if (AgentSocket.Connect(socketPath, deadline, out var reason) is { } stream)
            {
                whyNot = "";
                return stream;
            }

            whyNot = $"no agent listens at {socketPath}: {reason}";
            if (retryUntil.Passed)
                return null;
            Thread.Sleep(retryUntil.Remaining < RetryPause ? retryUntil.Remaining : RetryPause);
        }
    }

    private AgentResponse? Receive(Stream stream, Deadline deadline)
    {
        var buffer = new byte[4096];
        for (var length = 0; ;)
        {
            if (length > 0 && buffer[length - 1] == '\n')
                return Decode(buffer.AsSpan(0, length));
            if (length >= AgentRequest.MaxLength)
                throw new CniException(CniErrorCode.Decoding, $"the agent at {socketPath} answered more than {AgentRequest.MaxLength} bytes");
            if (length == buffer.Length)
                Array.Resize(ref buffer, 2 * length);
            stream.ReadTimeout = deadline.Milliseconds;
            var read = stream.Read(buffer.AsSpan(length));
            if (read == 0)
                return null;
            length += read;
        }
    }

    private AgentResponse Decode(ReadOnlySpan<byte> line)
    {
        try
        {
            return AgentLine.ReadResponse(line);
        }
        catch (JsonException error)
        {
            throw new CniException(CniErrorCode.Decoding, $"the answer of the agent at {socketPath} cannot be decoded; install plugin and agent of one release", error.Message);
        }
    }
}
