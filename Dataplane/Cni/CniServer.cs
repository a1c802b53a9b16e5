using System.Buffers;
using System.Net.Sockets;
using System.Text.Json;
using System.Threading.Channels;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cni;

/// <summary>Listens on the Unix socket for the plugin, turns each connection into one <see cref="CniCall"/> for the agent's loop, and carries the answer back. Operators' verbs come by the same socket.</summary>
internal sealed class CniServer : IDisposable
{
    private const int SocketPathBytes = 107; // sun_path of unix(7) holds 108, the last is NUL

    private readonly ChannelWriter<CniCall> calls;
    private readonly string socketPath;
    private readonly Socket listener;

    private readonly Func<ReadOnlyMemory<byte>, CancellationToken, Task<byte[]>>? operators;
    private readonly TimeSpan clientDeadline;

    private CniServer(
        string socketPath, Socket listener, ChannelWriter<CniCall> calls, Func<ReadOnlyMemory<byte>, CancellationToken, Task<byte[]>>? operators, TimeSpan clientDeadline)
    {
        this.operators = operators;
        this.socketPath = socketPath;
        this.listener = listener;
        this.calls = calls;
        this.clientDeadline = clientDeadline;
    }

    /// <summary>Starts to listen: from here on clients connect and wait; they are served once <see cref="RunAsync"/> runs.
    /// A socket file that a dead agent left is replaced; the socket is for its owner only (0600).</summary>
    /// <param name="socketPath">The socket; its folder is made (0755) when it is not there.</param>
    /// <param name="calls">Where the calls go: the agent's loop reads it.</param>
    /// <param name="operators">Answers a line whose command is an operator's (<see cref="OperatorRequest.IsOne"/>); its token says that the client has gone. Null: there is no such command.</param>
    /// <param name="clientDeadline">How long a client may take to send its request, and to take its answer; 5 s when not given.</param>
    /// <exception cref="IOException">Another agent listens there, or the path cannot be a socket.</exception>
    public static CniServer Listen(
        string socketPath, ChannelWriter<CniCall> calls, Func<ReadOnlyMemory<byte>, CancellationToken, Task<byte[]>>? operators = null, TimeSpan? clientDeadline = null)
    {
        if (System.Text.Encoding.UTF8.GetByteCount(socketPath) > SocketPathBytes)
            throw new IOException($"The socket's path {socketPath} is longer than the {SocketPathBytes} bytes that a Unix socket can have; choose a shorter one (socket).");
        if (Path.GetDirectoryName(socketPath) is { Length: > 0 } folder)
            MakeFolder(folder);
        RemoveStale(socketPath);

        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            listener.Bind(new UnixDomainSocketEndPoint(socketPath));
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(socketPath, UnixFileMode.UserRead | UnixFileMode.UserWrite); // nobody can connect before Listen
            listener.Listen(512);
        }
        catch (SocketException error)
        {
            listener.Dispose();
            throw new IOException($"Cannot listen on {socketPath}: {error.Message}.", error);
        }

        return new(socketPath, listener, calls, operators, clientDeadline ?? TimeSpan.FromSeconds(5));
    }

    /// <summary>Serves clients, many at a time, until <paramref name="stop"/>.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        var clients = new List<Task>();
        try
        {
            while (true)
            {
                var client = await AcceptAsync(stop).ConfigureAwait(false);
                clients.RemoveAll(task => task.IsCompleted);
                clients.Add(ServeAsync(client, stop));
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await Task.WhenAll(clients).ConfigureAwait(false);
        }
    }

    /// <summary>Stops listening and removes the socket file.</summary>
    public void Dispose()
    {
        listener.Dispose();
        File.Delete(socketPath);
    }

    private async Task<Socket> AcceptAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                return await listener.AcceptAsync(stop).ConfigureAwait(false);
            }
            catch (SocketException)
            {
                // accept(2) reports the client's errors (ECONNABORTED) and ours that pass (EMFILE, ENOMEM): the client waits in the queue meanwhile
                await Task.Delay(100, stop).ConfigureAwait(false);
            }
        }
    }

    private async Task ServeAsync(Socket client, CancellationToken stop)
    {
        using var socket = client;
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(stop);
        try
        {
            var (line, request, answer) = await ReadAsync(socket, stop).ConfigureAwait(false);
            var end = EndAsync(socket, stop);
            if (request is not null && operators is not null && OperatorRequest.IsOne(request.Command))
            {
                var told = await WatchedAsync(operators(line, gone.Token), end, gone, stop).ConfigureAwait(false);
                await DeliverAsync(socket, told, end, stop).ConfigureAwait(false);
                return;
            }

            var answered = 0L;
            if (request is not null)
                (answer, answered) = await AskAsync(request, end, gone, stop).ConfigureAwait(false);
            if (await DeliverAsync(socket, AgentLine.Of(answer), end, stop).ConfigureAwait(false))
                return;

            // Wired, yet nobody heard of it: the addresses are being given back at the other end, so the wiring has to go too. What was wired later is not meant.
            if (request is { Command: "ADD" } && answer.Wired is not null)
                await calls.WriteAsync(new CniCall(request with { Command = "DEL", Began = answered }, CancellationToken.None), stop).ConfigureAwait(false);
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException or ChannelClosedException)
        {
            // the client left, was too slow, or we are stopping: there is nobody to tell
        }
    }

    /// <summary>Reads one line. Either a request, or the answer to what is none.</summary>
    private async Task<(ReadOnlyMemory<byte> Line, AgentRequest? Request, AgentResponse Refusal)> ReadAsync(Socket socket, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(clientDeadline);
        var line = new ArrayBufferWriter<byte>(4096);
        while (true)
        {
            var read = await socket.ReceiveAsync(line.GetMemory(4096), deadline.Token).ConfigureAwait(false);
            line.Advance(read);
            if (read > 0 && line.WrittenSpan[^1] == '\n')
                return Decode(line.WrittenMemory);
            if (read == 0 || line.WrittenCount > AgentRequest.MaxLength)
                return (default, null, AgentError.Answer(CniErrorCode.Decoding, $"The request of {line.WrittenCount} bytes does not end in a line feed within {AgentRequest.MaxLength} bytes."));
        }
    }

    private static (ReadOnlyMemory<byte>, AgentRequest?, AgentResponse) Decode(ReadOnlyMemory<byte> line)
    {
        try
        {
            var request = AgentLine.ReadRequest(line.Span);
            return request.Version > AgentRequest.CurrentVersion
                ? (line, null, AgentError.Answer(CniErrorCode.IncompatibleVersion, $"The plugin speaks version {request.Version} of the agent's protocol, this agent {AgentRequest.CurrentVersion}; install plugin and agent of one release."))
                : (line, request, AgentResponse.Done);
        }
        catch (JsonException error)
        {
            return (line, null, AgentError.Answer(CniErrorCode.Decoding, "The request cannot be decoded.", error.Message));
        }
    }

    /// <summary>Hands the call to the loop and waits for its answer, watching the connection meanwhile.</summary>
    private async Task<(AgentResponse Answer, long At)> AskAsync(AgentRequest request, Task<bool> end, CancellationTokenSource gone, CancellationToken stop)
    {
        var call = new CniCall(request, gone.Token);
        await calls.WriteAsync(call, stop).ConfigureAwait(false);
        return (await WatchedAsync(call.Answered, end, gone, stop).ConfigureAwait(false), call.AnsweredAt);
    }

    // A client that ends before it has its answer wants none.
    private static async Task<T> WatchedAsync<T>(Task<T> answer, Task<bool> end, CancellationTokenSource gone, CancellationToken stop)
    {
        if (await Task.WhenAny(answer, end).WaitAsync(stop).ConfigureAwait(false) == end)
            await gone.CancelAsync().ConfigureAwait(false);
        return await answer.WaitAsync(stop).ConfigureAwait(false);
    }

    /// <summary>Waits for the client's end: a client that waits sends nothing more, so it is whatever can be received next. It is one receive for all of the connection's life: to give
    /// one up costs as much as the rest of a call.</summary>
    /// <returns>Whether it was clean. ECONNRESET (unix(7): closed with unread bytes) says that the client has not read everything.</returns>
    private static async Task<bool> EndAsync(Socket socket, CancellationToken stop)
    {
        try
        {
            return await socket.ReceiveAsync(new byte[1], stop).ConfigureAwait(false) == 0;
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <summary>Sends the answer and waits for the client's clean end, which says that it has read everything. To one that has ended nothing can be sent (EPIPE).</summary>
    private async Task<bool> DeliverAsync(Socket socket, ReadOnlyMemory<byte> answer, Task<bool> end, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(clientDeadline);
        try
        {
            for (var rest = answer; rest.Length > 0;)
                rest = rest[await socket.SendAsync(rest, deadline.Token).ConfigureAwait(false)..];
            return await end.WaitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is SocketException || (error is OperationCanceledException && !stop.IsCancellationRequested))
        {
            return false;
        }
    }

    private static void MakeFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder);
        else
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
    }

    /// <summary>Removes the socket of an agent that is dead; whether it is, only connecting tells.</summary>
    private static void RemoveStale(string socketPath)
    {
        if (!File.Exists(socketPath))
            return;
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(socketPath));
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionRefused && IsSocket(socketPath))
        {
            File.Delete(socketPath);
            return;
        }
        catch (SocketException error)
        {
            throw new IOException($"{socketPath} is there but is no socket of an agent ({error.Message}); remove it or choose another path (socket).", error);
        }

        throw new IOException($"Another agent already listens on {socketPath}; stop it first, or choose another path (socket).");
    }

    // connect(2) refuses a plain file with ECONNREFUSED as well. A socket has no length and cannot be opened (ENXIO).
    private static bool IsSocket(string path)
    {
        try
        {
            using var handle = File.OpenHandle(path);
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }
}
