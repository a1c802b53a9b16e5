using System.Net.Sockets;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Win32.SafeHandles;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cni;

/// <summary>Listens on the Unix socket for the plugin, turns each connection (<see cref="CniClient"/>) into one <see cref="CniCall"/> for the agent's loop, and carries the answer back. Operators' verbs come by the same socket.</summary>
internal sealed class CniServer : IDisposable
{
    private const int FirstClient = 2;
    private const int SocketPathBytes = 107; // sun_path of unix(7) holds 108, the last is NUL

    private readonly ChannelWriter<CniCall> calls;
    private readonly string socketPath;
    private readonly Socket listener;
    private readonly SafeFileHandle waker = Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);

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
            listener.Blocking = false;
        }
        catch (SocketException error)
        {
            listener.Dispose();
            throw new IOException($"Cannot listen on {socketPath}: {error.Message}.", error);
        }

        return new(socketPath, listener, calls, operators, clientDeadline ?? TimeSpan.FromSeconds(5));
    }

    /// <summary>Serves clients, many at a time, until <paramref name="stop"/>: on a thread of its own that waits for all of them together, which wakes nobody but the loop and is woken twice a call.</summary>
    public Task RunAsync(CancellationToken stop) => Task.Factory.StartNew(() => Serve(stop), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Stops listening and removes the socket file.</summary>
    public void Dispose()
    {
        listener.Dispose();
        waker.Dispose();
        File.Delete(socketPath);
    }

    private void Serve(CancellationToken stop)
    {
        using var stopping = stop.Register(Wake);
        var clients = new List<CniClient>();
        while (!stop.IsCancellationRequested)
        {
            var ready = Await(clients);
            for (var i = 0; i < clients.Count; i++)
            {
                if (ready[FirstClient + i].Returned != 0 && clients[i].Proceed() is { } line)
                    Ask(clients[i], line, stop);
                clients[i].Expire(clientDeadline);
            }

            foreach (var over in clients.Where(client => client.IsOver))
                over.Dispose();
            clients.RemoveAll(client => client.IsOver);
            if (ready[0].Returned != 0 && Accept() is { } socket)
            {
                var client = new CniClient(socket, Wake);
                clients.Add(client);
                if (client.Proceed() is { } line) // it mostly has come with the connection
                    Ask(client, line, stop);
            }
        }

        clients.ForEach(client => client.Dispose());
    }

    // In the order: listener, waker, clients.
    private Libc.Pollfd[] Await(List<CniClient> clients)
    {
        Libc.Pollfd[] polls =
        [
            new() { Descriptor = (int)listener.Handle, Events = Libc.POLLIN },
            new() { Descriptor = (int)waker.DangerousGetHandle(), Events = Libc.POLLIN },
            .. clients.Select(client => client.Poll),
        ];
        if (Libc.poll(polls, (nuint)polls.Length, clients.Count > 0 ? (int)clientDeadline.TotalMilliseconds : -1) < 0 && Libc.LastErrno != Errno.EINTR)
            throw new IOException($"poll of {socketPath} and its clients: {Libc.LastErrno}.");
        if (polls[1].Returned != 0)
            _ = Libc.read(waker, out _, sizeof(ulong));
        return polls;
    }

    private void Wake() => _ = Libc.write(waker, 1, sizeof(ulong));

    private Socket? Accept()
    {
        try
        {
            var client = listener.Accept();
            client.Blocking = false;
            return client;
        }
        catch (SocketException error) when (error.SocketErrorCode is SocketError.WouldBlock or SocketError.ConnectionAborted)
        {
            return null;
        }
        catch (SocketException)
        {
            Thread.Sleep(100); // EMFILE, ENOMEM: they pass, and the client waits in the queue meanwhile
            return null;
        }
    }

    private void Ask(CniClient client, ReadOnlyMemory<byte> line, CancellationToken stop)
    {
        var (request, refusal) = Decode(line.Span);
        if (request is null)
            client.Answer(AgentLine.Of(refusal));
        else if (operators is not null && OperatorRequest.IsOne(request.Command))
            _ = TellAsync(client, operators(line, client.Gone));
        else
            Put(new(request, (answer, at) => client.Answer(AgentLine.Of(answer), request.Command == "ADD" && answer.Wired is not null ? () => Undo(request, at, stop) : null), client.Gone), stop);
    }

    private static async Task TellAsync(CniClient client, Task<byte[]> answer)
    {
        var isTold = false;
        try
        {
            client.Answer(await answer.ConfigureAwait(false));
            isTold = true;
        }
        catch (Exception error) when (error is OperationCanceledException or ChannelClosedException)
        {
            // Nobody waits any more, or the agent ends.
        }
        finally
        {
            // Whatever went wrong: who asks shall not wait for ever.
            if (!isTold)
                client.Drop();
        }
    }

    // Wired, yet nobody heard of it: the addresses are being given back at the other end, so the wiring has to go too. What was wired later is not meant.
    private void Undo(AgentRequest add, long answered, CancellationToken stop) => Put(new(add with { Command = "DEL", Began = answered }, (_, _) => { }, CancellationToken.None), stop);

    private void Put(CniCall call, CancellationToken stop)
    {
        if (!calls.TryWrite(call))
            _ = calls.WriteAsync(call, stop).AsTask(); // the loop is far behind
    }

    private static (AgentRequest? Request, AgentResponse Refusal) Decode(ReadOnlySpan<byte> line)
    {
        if (line.IsEmpty || line[^1] != '\n' || line.Length > AgentRequest.MaxLength)
            return (null, AgentError.Answer(CniErrorCode.Decoding, $"The request of {line.Length} bytes does not end in a line feed within {AgentRequest.MaxLength} bytes."));
        try
        {
            var request = AgentLine.ReadRequest(line);
            return request.Version > AgentRequest.CurrentVersion
                ? (null, AgentError.Answer(CniErrorCode.IncompatibleVersion, $"The plugin speaks version {request.Version} of the agent's protocol, this agent {AgentRequest.CurrentVersion}; install plugin and agent of one release."))
                : (request, AgentResponse.Done);
        }
        catch (JsonException error)
        {
            return (null, AgentError.Answer(CniErrorCode.Decoding, "The request cannot be decoded.", error.Message));
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
