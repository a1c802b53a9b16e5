using System.Buffers;
using System.Net.Sockets;
using System.Text.Json;
using Overlay.CniShim.Protocol;

namespace Overlay.Dataplane.Operator;

/// <summary>Asks the running agent something, as an operator's verb does: one connection, one line each way.</summary>
/// <param name="socketPath">Where the agent listens.</param>
internal sealed class AgentConnection(string socketPath)
{
    /// <summary>Asks.</summary>
    /// <exception cref="OperatorException">No answer, or a refusal: why, in one sentence.</exception>
    public async Task<OperatorAnswer> AskAsync(OperatorRequest request, CancellationToken cancellation)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        byte[] line;
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), cancellation);
            await socket.SendAsync(OperatorJson.Line(request), cancellation);
            line = await ReceiveAsync(socket, cancellation);
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.AccessDenied)
        {
            throw new OperatorException($"No right to ask the agent at {socketPath}; run this as root (sudo).");
        }
        catch (SocketException error)
        {
            throw new OperatorException($"No agent answers at {socketPath} ({error.Message}); is it running on this node, and is that its socket (--socket, --config)?");
        }
        catch (ArgumentOutOfRangeException)
        {
            throw new OperatorException($"{socketPath} is too long for a Unix socket; no agent can listen there.");
        }

        var answer = Read(line, request);
        return answer.Error is { } refusal ? throw new OperatorException(Refusal(refusal, request)) : answer;
    }

    private OperatorAnswer Read(byte[] line, OperatorRequest request)
    {
        try
        {
            return JsonSerializer.Deserialize(line, OperatorJson.Default.OperatorAnswer)!;
        }
        catch (JsonException)
        {
            throw new OperatorException($"The agent at {socketPath} answers {request.Command} with something else; it is of another version than this program. Restart it.");
        }
    }

    private string Refusal(OperatorError error, OperatorRequest request) => error.Code == CniErrorCode.InvalidEnvironment
        ? $"The agent at {socketPath} is of an older version and does not know {request.Command}; restart it with this version."
        : error.Msg;

    private async Task<byte[]> ReceiveAsync(Socket socket, CancellationToken cancellation)
    {
        var line = new ArrayBufferWriter<byte>(1 << 16);
        while (true)
        {
            var read = await socket.ReceiveAsync(line.GetMemory(1 << 16), cancellation);
            line.Advance(read);
            if (read == 0)
                throw new OperatorException($"The agent at {socketPath} ended without an answer.");
            if (line.WrittenSpan[^1] == '\n')
                return line.WrittenSpan.ToArray();
        }
    }
}
