using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Overlay.Dataplane.Capture;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Operator;

namespace Overlay.Dataplane.Cli;

/// <summary>One run of <c>overlay capture</c>: packets go to standard output or into a file, everything else to standard error.</summary>
/// <param name="configuration">Where the agent is, and what it knows is kept.</param>
/// <param name="error">Standard error.</param>
internal sealed class CaptureRun(OverlayConfiguration configuration, TextWriter error)
{
    private const string StandardOutput = "-";
    private const int StandardOutputDescriptor = 1;
    private const int HeadersOnly = 512; // bytes; enough for the headers of a packet in a tunnel, and for one that an error quotes

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly List<PacketSocket> _sockets = [];

    /// <summary>NAMESPACE/POD, or null.</summary>
    public string? Pod { get; init; }

    /// <summary>On the underlay.</summary>
    public bool Underlay { get; init; }

    /// <summary>On these devices.</summary>
    public required IReadOnlyList<string> Interfaces { get; init; }

    /// <summary>Which packets, but for those of <see cref="Pod"/>.</summary>
    public required PacketFilter Filter { get; init; }

    /// <summary>As tcpdump has it, or null.</summary>
    public string? Expression { get; init; }

    /// <summary>No more packets.</summary>
    public long Count { get; init; }

    /// <summary>No longer; null: until interrupted.</summary>
    public TimeSpan? Duration { get; init; }

    /// <summary>Where packets are written to; null: they are shown.</summary>
    public string? File { get; init; }

    /// <summary>Bytes of a packet that are written.</summary>
    public int SnapLength { get; init; }

    /// <summary>Whether they are shown as JSON.</summary>
    public bool Json { get; init; }

    /// <summary>Runs, and says how it went.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(CancellationToken stop)
    {
        if (!OperatingSystem.IsLinux())
            return Fail("runs on Linux only in this version.");
        if (File == StandardOutput && !Console.IsOutputRedirected)
        {
            Tell("-w - writes what no terminal shows: pipe it, say into 'wireshark -k -i -', or give a file.");
            return ExitCode.Usage;
        }

        try
        {
            // A signal is waited for only once this task exists.
            await Task.Yield();
            return await CaptureAsync(stop);
        }
        catch (Exception exception) when (exception is CaptureException or IOException or UnauthorizedAccessException)
        {
            return Fail(exception.Message);
        }
        finally
        {
            foreach (var socket in _sockets)
                socket.Dispose();
        }
    }

    private async Task<int> CaptureAsync(CancellationToken stop)
    {
        var (report, why) = await AskAsync(stop);
        if (stop.IsCancellationRequested)
            return ExitCode.Success;
        var wired = report is null ? new AttachmentFolder(configuration.StateDir).ReadAll(out _) : [];
        var place = CapturePlace.Choose(report, Find(report, wired, why), Interfaces, Underlay, PacketSocket.Exists);
        using var expression = Expression is null ? null : PcapExpression.Compile(Expression, SnapLength);
        foreach (var device in place.Devices)
            _sockets.Add(PacketSocket.Open(device, File is null && expression is null ? HeadersOnly : SnapLength));
        await using var stream = File is null or StandardOutput ? Console.OpenStandardOutput() : Create(File);
        if (report is null)
            Tell($"{why} So {(wired.Count > 0 ? "only this node's pods have names" : "there are addresses, and no names")}.");
        Tell($"on {string.Join(", ", place.Devices)}; Ctrl-C ends it.");

        var names = Names(report, wired);
        var filter = Filter with { Addresses = place.Addresses };
        var capture = new PacketCapture(_sockets, names, (frame, packet) => filter.Passes(packet, names.Of) && expression?.Matches(frame) != false, report?.VxlanPort is > 0 and var port ? port : configuration.VxlanPort, Tell);
        await using var writer = new StreamWriter(stream, new UTF8Encoding(false)) { NewLine = "\n" };
        if (File is not null)
            stream.Write(PcapFile.Header(SnapLength));
        var end = await capture.RunAsync(
            Count,
            Duration,
            File is null or StandardOutput ? StandardOutputDescriptor : null,
            (frame, packet) =>
            {
                if (File is not null)
                    stream.Write(PcapFile.Record(frame));
                else if (NamedPacket.Of(frame, packet, names.Of) is var named)
                    writer.WriteLine(Json ? named.ToJson() : PacketText.Line(named, TimeZoneInfo.Local, place.Devices.Count > 1));
            },
            writer.Flush,
            stop);
        if (end == CaptureEnd.OutputClosed)
            return ExitCode.Success;
        var (seen, dropped) = capture.Statistics;
        Tell(string.Create(CultureInfo.InvariantCulture, $"{capture.Taken} packets {(File is null ? "shown" : "written")}, {seen} seen, {dropped} dropped by the kernel for lack of room."));
        return end == CaptureEnd.Done ? ExitCode.Success : ExitCode.Failure;
    }

    // Null, and why: then it goes on without.
    private async Task<(NameReport? Report, string Why)> AskAsync(CancellationToken stop)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patience.CancelAfter(Patience);
        try
        {
            return (await AskAsync([], Pod ?? "", patience.Token), "");
        }
        catch (OperatorException exception)
        {
            return (null, exception.Message);
        }
        catch (OperationCanceledException)
        {
            return (null, $"The agent at {configuration.Socket} does not answer within {Patience.TotalSeconds} s.");
        }
    }

    private async Task<NameReport> AskAsync(IReadOnlyList<string> addresses, string pod, CancellationToken stop)
    {
        try
        {
            var answer = await new AgentConnection(configuration.Socket).AskAsync(new() { Command = OperatorRequest.Names, Asked = addresses, Pod = pod }, stop);
            return answer.Names ?? throw new OperatorException($"The agent at {configuration.Socket} answered something else; it is of another version than this program. Restart it.");
        }
        catch (Exception exception) when (exception is SocketException or IOException)
        {
            throw new OperatorException(exception.Message);
        }
    }

    private FoundPod? Find(NameReport? report, IReadOnlyList<Attachment> wired, string why)
    {
        if (Pod is null)
            return null;
        if (report is not null)
            return report.Pod ?? throw new CaptureException(report.NoPod ?? $"There is no pod {Pod}.");
        return CapturePlace.Local(wired, NameSearch.Parse(Pod)!.Value) ?? throw new CaptureException($"{why} Without it pods of this node alone are known, and {Pod} is none.");
    }

    private AddressNames Names(NameReport? report, IReadOnlyList<Attachment> wired)
    {
        var names = new AddressNames(report is null ? null : async (addresses, patience) => (await AskAsync(addresses, "", patience)).Names, Tell);
        foreach (var (pod, address) in from attachment in wired from address in attachment.Addresses select (attachment.Pod, address))
            names.Add(address, new(address.ToString(), pod.ToString(), null));
        return names;
    }

    // What pods say is nobody else's business.
    private static FileStream Create(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new(path, options);
    }

    private void Tell(string what) => error.WriteLine($"overlay capture: {what}");

    private int Fail(string what)
    {
        Tell(what);
        return ExitCode.Failure;
    }
}
