using System.Net.Sockets;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>Asks the agent: one connection, one line each way (<see cref="AgentRequest"/>).</summary>
/// <param name="socketPath">The agent's socket.</param>
internal sealed class AgentClient(string socketPath)
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(50);

    /// <summary>Asks and waits for the answer.</summary>
    /// <param name="request">What.</param>
    /// <param name="connectBy">Until when to try again while no agent listens.</param>
    /// <param name="answerBy">Until when to wait for the answer.</param>
    /// <param name="whyNot">A sentence, when there is no answer.</param>
    /// <returns>Null when there is no answer: no agent, or none in time. Closing then tells an agent that still works on it to undo an ADD.</returns>
    /// <exception cref="CniException">With code 5 or 6: the socket may not be used, or what comes back is no answer.</exception>
    public AgentResponse? Ask(AgentRequest request, Deadline connectBy, Deadline answerBy, out string whyNot)
    {
        using var socket = Connect(Deadline.Earlier(connectBy, answerBy), out whyNot);
        if (socket is null)
            return null;
        try
        {
            Send(socket, request, answerBy);
            if (Receive(socket, answerBy) is { } answer)
                return answer;
            whyNot = $"the agent at {socketPath} ended without an answer";
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
        {
            whyNot = $"the agent at {socketPath} did not answer in time";
        }
        catch (SocketException error)
        {
            whyNot = $"the agent at {socketPath} ended without an answer: {error.Message}";
        }

        return null;
    }

    private Socket? Connect(Deadline deadline, out string whyNot)
    {
        while (true)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                socket.SendTimeout = Milliseconds(deadline); // also limits connect(2) when the agent's queue is full, see unix(7)
                socket.Connect(new UnixDomainSocketEndPoint(socketPath));
                whyNot = "";
                return socket;
            }
            catch (SocketException error)
            {
                socket.Dispose();
                if (error.SocketErrorCode == SocketError.AccessDenied)
                    throw new CniException(CniErrorCode.Io, $"may not connect to the agent at {socketPath}: {error.Message}");
                whyNot = $"no agent listens at {socketPath}: {error.Message}";
            }

            if (deadline.Passed)
                return null;
            Thread.Sleep(deadline.Remaining < RetryPause ? deadline.Remaining : RetryPause);
        }
    }

    private static void Send(Socket socket, AgentRequest request, Deadline deadline)
    {
        for (ReadOnlySpan<byte> rest = AgentLine.Of(request); rest.Length > 0;)
        {
            socket.SendTimeout = Milliseconds(deadline);
            rest = rest[socket.Send(rest)..];
        }
    }

    private AgentResponse? Receive(Socket socket, Deadline deadline)
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
            socket.ReceiveTimeout = Milliseconds(deadline);
            var read = socket.Receive(buffer, length, buffer.Length - length, SocketFlags.None);
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

    // zero would mean for ever
    private static int Milliseconds(Deadline deadline) => Math.Max(1, (int)deadline.Remaining.TotalMilliseconds);
}
