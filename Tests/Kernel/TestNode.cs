using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Operator;

namespace Overlay.Tests.Kernel;

/// <summary>A node: a network namespace, its agent process, its folders.</summary>
internal sealed class TestNode : IDisposable
{
    private readonly TestCluster _cluster;
    private readonly string _folder;
    private readonly List<TestPod> _pods = [];
    private Process? _agent;
    private ProgramOutput? _output;

    public TestNode(TestCluster cluster, string name, IReadOnlyList<string> addresses)
    {
        _cluster = cluster;
        Name = name;
        Addresses = addresses;
        _folder = Directory.CreateDirectory(Path.Combine(cluster.Folder, name)).FullName;
        PluginPath = cluster.Programs.Folder;
        Net = NetnsFixture.Create();
    }

    public string Name { get; }

    /// <summary>On the underlay.</summary>
    public IReadOnlyList<string> Addresses { get; }

    public NetnsFixture Net { get; }

    public IReadOnlyList<TestPod> Pods => _pods;

    /// <summary>
    /// Whether the agent has its own mounts, with /proc/sys read-only, as the runtime of a container that is not privileged has it. See <see cref="RunInAgentsMounts"/>.
    /// </summary>
    public bool HasReadOnlySysctls { get; set; }

    /// <summary>A capability that the agent has not, as capabilities(7) names it without CAP_; null: it has all.</summary>
    public string? RunsWithout { get; set; }

    /// <summary>Words before the agent's program: another program that becomes it.</summary>
    public string[] RunsUnder { get; set; } = [];

    /// <summary>More environment variables of the agent.</summary>
    public Dictionary<string, string> Variables { get; } = [];

    /// <summary>What the agent has logged.</summary>
    public string Log => _output?.ToString() ?? "";

    /// <summary>The conflist the agent writes.</summary>
    public string Conflist => Path.Combine(_folder, "net.d", "05-overlay.conflist");

    /// <summary>Folder of the address files.</summary>
    public string IpamDir => Path.Combine(_folder, "networks");

    /// <summary>Folder of the attachment files.</summary>
    public string Attachments => Path.Combine(_folder, "state", "attachments");

    /// <summary>Folder of DELs that wait for the agent.</summary>
    public string Queue => PendingDelete.FolderOf(Socket);

    /// <summary>Folder of the status files this node publishes.</summary>
    public string Statuses => Path.Combine(_cluster.Manifests, ".status", Name);

    /// <summary>Everything the agent has in the kernel, and the pods' interfaces: as nft(8), ip(8) and bridge(8) print it, without counters.</summary>
    public string State => string.Join('\n',
        Net.Run("nft -s list table inet overlay"),
        Net.Run("ip route show"),
        Net.Run("ip -6 route show proto 79"),
        Net.Run("ip neigh show nud permanent"),
        Net.Run("bridge fdb show dev overlay-vxlan"),
        Net.Run("ip -o link show type veth"),
        Net.Run("ip -o link show type ifb"));

    /// <summary>Name of the point where agent or plugin kill themselves; no file, no point.</summary>
    public string FaultFile => Path.Combine(_folder, "fault-point");

    /// <summary>Whether the agent has ended by itself.</summary>
    public bool AwaitDeath() => _agent!.WaitForExit(TimeSpan.FromSeconds(20));

    /// <summary>Process id of the agent.</summary>
    public int AgentId => _agent!.Id;

    /// <summary>Where runtimes look for plugins: CNI_PATH.</summary>
    public string PluginPath { get; set; }

    /// <summary>Folder of what another plugin still has to take back.</summary>
    public string Orphans => Path.Combine(_folder, "state", "orphans");

    /// <summary>Where the agent listens.</summary>
    public string Socket => Path.Combine(_folder, "agent.sock");

    /// <summary>Starts the agent and waits until it serves.</summary>
    public void StartAgent(params string[] more)
    {
        BeginAgent(more);
        AwaitAgent();
    }

    /// <summary>Starts the agent.</summary>
    public void BeginAgent(params string[] more)
    {
        string[] program = HasReadOnlySysctls
            ? ["unshare", "--mount", "sh", "-c", "mount --bind -o ro /proc/sys /proc/sys && exec \"$0\" \"$@\"", _cluster.Programs.Overlay]
            : RunsWithout is null ? [.. RunsUnder, _cluster.Programs.Overlay] : ["setpriv", $"--bounding-set=-{RunsWithout}", $"--inh-caps=-{RunsWithout}", _cluster.Programs.Overlay];
        _agent = Net.Start(
            new(Variables) { ["FAULT_POINT_FILE"] = FaultFile },
            program[0],
            [.. program[1..], "agent", "--node-name", Name, .. _cluster.Datastore, "--socket", Socket, "--state-dir", Path.Combine(_folder, "state"), "--cni-conf-dir", Path.Combine(_folder, "net.d"), "--cni-ipam-dir", IpamDir, .. more]);
        _output = new ProgramOutput(_agent);
    }

    /// <summary>Runs a command among the mounts of the agent: see <see cref="HasReadOnlySysctls"/>.</summary>
    public void RunInAgentsMounts(string command) => Net.Run($"nsenter --mount --target {AgentId} {command}");

    /// <summary>Waits until the agent serves.</summary>
    public void AwaitAgent()
    {
        TestCluster.Eventually(() => _agent!.HasExited || Ask("STATUS") is not null, $"the agent of {Name} serves", () => Log);
        Assert.That(_agent!.HasExited, Is.False, Log);
    }

    /// <summary>Stops the agent: SIGTERM, or SIGKILL.</summary>
    public int StopAgent(bool kill = false)
    {
        if (_agent is null)
            return 0;
        if (kill)
            _agent.Kill();
        else
            _ = Libc.Terminate(_agent.Id);
        Assert.That(_agent.WaitForExit(TimeSpan.FromSeconds(20)), $"the agent of {Name} ends; {Log}");
        var code = _agent.ExitCode;
        _agent.Dispose();
        _agent = null;
        return code;
    }

    /// <summary>Asks the agent something without the plugin; null when nobody answers.</summary>
    /// <param name="command">The verb.</param>
    /// <param name="more">More members of the request, as JSON.</param>
    public string? Ask(string command, string more = "") => Ask(Encoding.UTF8.GetBytes($$"""{"version":1,"command":"{{command}}"{{(more.Length > 0 ? "," : "")}}{{more}}}""" + "\n"));

    /// <summary>Asks the agent what the plugin might ask.</summary>
    public AgentResponse Ask(AgentRequest request)
    {
        var answer = Ask(AgentLine.Of(request));
        Assert.That(answer, Is.Not.Null, Log);
        return AgentLine.ReadResponse(Encoding.UTF8.GetBytes(answer!));
    }

    private string? Ask(byte[] line)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.ReceiveTimeout = 10_000;
            socket.Connect(new UnixDomainSocketEndPoint(Socket));
            socket.Send(line);
            var buffer = new byte[65536];
            var read = socket.Receive(buffer);
            return read == 0 ? null : Encoding.UTF8.GetString(buffer, 0, read);
        }
        catch (SocketException)
        {
            return null;
        }
    }

    /// <summary>Whether an agent runs here.</summary>
    public bool HasAgent => _agent is { HasExited: false };

    /// <summary>How the agent is, as <c>overlay status</c> would show it.</summary>
    public StatusReport Status => new AgentConnection(Socket).AskAsync(new() { Command = OperatorRequest.Status }, CancellationToken.None).GetAwaiter().GetResult().Status!;

    /// <summary>Runs a verb of <c>overlay</c> against this node's agent.</summary>
    public CommandOutput Overlay(params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(_cluster.Programs.Overlay, [.. arguments, "--socket", Socket]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        process.WaitForExit();
        return new(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>Makes a pod's namespace and has the plugin wire it.</summary>
    public TestPod AddPod(string name, string[]? addresses = null, string uid = "")
    {
        var pod = MakePod(name, uid);
        pod.Add(addresses ?? []);
        return pod;
    }

    /// <summary>As the other, with ports of the node that are to lead to the pod.</summary>
    public TestPod AddPod(string name, PortMapping[] hostPorts)
    {
        var pod = MakePod(name);
        pod.Add([], hostPorts);
        return pod;
    }

    /// <summary>Makes a pod's namespace; the plugin is for the caller to run.</summary>
    public TestPod MakePod(string name, string uid = "")
    {
        var pod = new TestPod(this, name) { Uid = uid };
        _pods.Add(pod);
        return pod;
    }

    /// <summary>Every file that says that a pod is here, or was to be: reserved addresses, attachments, statuses, DELs that wait.</summary>
    public IEnumerable<string> PodFiles => new[] { Path.Combine(IpamDir, "overlay"), Path.Combine(IpamDir, "overlay", ".claims"), Attachments, Statuses, Queue }
        .Where(Directory.Exists).SelectMany(Directory.GetFiles)
        .Where(file => Path.GetFileName(file) is not "lock" && !Path.GetFileName(file).StartsWith("last_reserved_ip.", StringComparison.Ordinal));

    /// <summary>No file is left that says that a pod is here.</summary>
    public void AssertNoPod() => Assert.That(PodFiles, Is.Empty);

    /// <summary>Runs the plugin in this node's namespace, as a runtime would.</summary>
    public CommandOutput Plugin(string command, string containerId, string netns, string pod, string configuration, string podUid = "")
    {
        var start = new ProcessStartInfo(_cluster.Programs.OverlayCni) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        var (podNamespace, podName) = (pod.Split('/')[0], pod.Split('/')[1]);
        start.Environment["FAULT_POINT_FILE"] = FaultFile;
        start.Environment["CNI_COMMAND"] = command;
        start.Environment["CNI_CONTAINERID"] = containerId;
        start.Environment["CNI_NETNS"] = netns;
        start.Environment["CNI_IFNAME"] = "eth0";
        start.Environment["CNI_PATH"] = PluginPath;
        start.Environment["CNI_ARGS"] = $"IgnoreUnknown=1;K8S_POD_NAMESPACE={podNamespace};K8S_POD_NAME={podName}{(podUid.Length > 0 ? $";K8S_POD_UID={podUid}" : "")}";
        using var process = Net.Netns.Run(() => Process.Start(start)!);
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        process.StandardInput.Write(configuration);
        process.StandardInput.Close();
        process.WaitForExit();
        return new(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>The network configuration as libcni makes it from the conflist, with what is asked for this pod.</summary>
    public string Configuration(IReadOnlyList<string> addresses, params IReadOnlyList<PortMapping> hostPorts)
    {
        var asked = new Dictionary<string, object>();
        if (addresses.Count > 0)
            asked["ips"] = addresses;
        if (hostPorts.Count > 0)
            asked["portMappings"] = hostPorts;
        return Configuration(asked);
    }

    /// <summary>The network configuration as libcni makes it from the conflist: of what is asked for it passes on what the plugin says it is capable of.</summary>
    public string Configuration(IReadOnlyDictionary<string, object> asked)
    {
        using var conflist = JsonDocument.Parse(File.ReadAllText(Conflist));
        var plugin = conflist.RootElement.GetProperty("plugins")[0];
        var configuration = plugin.EnumerateObject().ToDictionary(property => property.Name, property => (object)property.Value);
        configuration["name"] = conflist.RootElement.GetProperty("name").GetString()!;
        configuration["cniVersion"] = "1.1.0";
        var granted = asked.Where(wish => plugin.GetProperty("capabilities").TryGetProperty(wish.Key, out var capable) && capable.GetBoolean()).ToDictionary();
        if (granted.Count > 0)
            configuration["runtimeConfig"] = granted;
        return JsonSerializer.Serialize(configuration);
    }

    public void Dispose()
    {
        StopAgent(kill: true);
        foreach (var pod in _pods)
            pod.Dispose();
        Net.Dispose();
    }
}
