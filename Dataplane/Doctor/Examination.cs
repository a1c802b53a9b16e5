using System.Net.Sockets;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Doctor.Machine;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.Dataplane.Operator;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Doctor;

/// <summary>
/// Everything that <c>overlay doctor</c> looks at, in the order in which it is printed. It only asks: the kernel, files, the datastore, the agent. What cannot be looked at is a finding, and stops nothing else.
/// </summary>
/// <param name="configuration">Of the agent that runs here, or is to.</param>
internal sealed class Examination(OverlayConfiguration configuration)
{
    // The agent answers in milliseconds.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    // What an agent's silence may come of is no news here.
    private static readonly string[] Asides = ["; ", " ("];

    private readonly List<Finding> _findings = [];

    /// <summary>Examines.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task<IReadOnlyList<Finding>> RunAsync(CancellationToken cancellation)
    {
        var (status, silence) = await AskAgentAsync(cancellation).ConfigureAwait(false);
        var view = await ClusterReading.ReadAsync(configuration, cancellation).ConfigureAwait(false);
        var nodes = view.Nodes ?? [];
        var own = nodes.FirstOrDefault(node => node.Name == configuration.NodeName);
        MachineNetwork? network = null;
        Check(UnderlayCheck.Name, () =>
        {
            network = MachineNetwork.Read(configuration.NodeAddress, own?.InternalIPs ?? [], Others(view.Nodes, status));
            return [];
        });
        var projected = NodeProjection.Project(configuration.NodeName, nodes, configuration, [], network?.Underlay ?? new([], []));

        Check(KernelCheck.Name, () => KernelCheck.Judge(KernelTries.Observe(projected.Rows.Links.Count > 0 ? [.. projected.Rows.Links] : null, configuration)));
        cancellation.ThrowIfCancellationRequested();
        if (network is not null)
            OfNetwork(network, nodes, projected, PodCidrs(own, status), status);
        Check(OtherProviderCheck.Name, () =>
        {
            using var netfilter = NetlinkSocket.Open(NetlinkProtocol.NETLINK_NETFILTER);
            return OtherProviderCheck.OfChains(NftName.Dump(netfilter));
        });
        Check(ConflistCheck.Name, () => [ConflistCheck.Judge(new(configuration.CniConfDir, configuration.CniConfName, Names(configuration.CniConfDir)))]);
        _findings.AddRange(DatastoreCheck.Judge(view, configuration));
        _findings.AddRange(AgentCheck.Judge(status, silence));
        Check(DiskCheck.Name, () => DiskCheck.Judge(
        [
            Folders.Look("stateDir", configuration.StateDir),
            Folders.Look("cni.confDir", configuration.CniConfDir),
            Folders.Look("cni.ipamDir", configuration.CniIpamDir),
            Folders.Look("socket", Path.GetDirectoryName(configuration.Socket)!),
        ], Environment.IsPrivilegedProcess));
        var (isSynchronised, reason) = SystemClock.Look();
        _findings.Add(ClockCheck.Judge(isSynchronised, reason));
        return _findings;
    }

    private void OfNetwork(MachineNetwork network, IReadOnlyList<Node> nodes, ProjectedNode projected, EquatableArray<Cidr> podCidrs, StatusReport? status)
    {
        Check(SysctlCheck.Name, () => SysctlCheck.Judge(network.Sysctls(status is not null, podCidrs)));
        if (configuration.Encapsulation == Encapsulation.Vxlan)
        {
            Check(VxlanPortCheck.Name, () => VxlanPortCheck.Judge(new(
                configuration.VxlanPort, configuration.VxlanVni, [.. network.Links.Where(link => link.Vxlan is not null)], BoundSockets.Udp(configuration.VxlanPort), Environment.IsPrivilegedProcess)));
        }

        if (status is null) // else they are the agent's
            Check(ListenCheck.Name, () => ListenCheck.Addresses(configuration).Select(served => ListenCheck.Judge(served.Key, served.Address, BoundSockets.Listeners(served.Address.Port))));
        Check(UnderlayCheck.Name, () => UnderlayCheck.Judge(new(configuration, nodes, network.Underlay, network.Ways)));
        Check(PodNetworkCheck.Name, () => PodNetworkCheck.Judge(new(
            configuration.NodeName, podCidrs, nodes, [.. ForeignPrefix.Of(network.Links, network.Addresses, network.Routes)], status is null ? projected.Degradations : [])));
        Check(ChecksumCheck.Name, () => ChecksumCheck.Judge(network.Checksums(configuration.Encapsulation, status?.Degraded ?? [])));
        Check(OtherProviderCheck.Name, () => OtherProviderCheck.OfDevices(network.Links, network.Addresses));
    }

    private void Check(string name, Func<IEnumerable<Finding>> look)
    {
        try
        {
            _findings.AddRange(look().ToList());
        }
        catch (Exception e) when (e is NetlinkException or NetlinkFormatException or NetnsException or SocketException or IOException or UnauthorizedAccessException)
        {
            _findings.Add(Finding.Warn(name, $"cannot be looked at: {e.Message.TrimEnd('.')}", Environment.IsPrivilegedProcess
                ? "Give this the rights of the agent (in a container CAP_NET_ADMIN and CAP_SYS_ADMIN, in the node's network namespace)."
                : "Run this as root (sudo overlay doctor)."));
        }
    }

    private async Task<(StatusReport? Status, string Silence)> AskAgentAsync(CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Patience);
        try
        {
            var answer = await new AgentConnection(configuration.Socket).AskAsync(new() { Command = OperatorRequest.Status }, deadline.Token).ConfigureAwait(false);
            return (answer.Status, $"what answers at {configuration.Socket} is no agent of this version");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return (null, $"the agent at {configuration.Socket} does not answer within {Patience.TotalSeconds:0} s");
        }
        catch (Exception e) when (e is OperatorException or SocketException or IOException)
        {
            return (null, e is OperatorException ? e.Message.Split(Asides, 2, StringSplitOptions.None)[0] : e.Message);
        }
    }

    // By what the datastore says, or by what an agent has learnt from it.
    private IEnumerable<(string Name, IEnumerable<InetAddress> Addresses)>? Others(IReadOnlyList<Node>? nodes, StatusReport? status) => nodes is not null
        ? nodes.Where(node => node.Name != configuration.NodeName).Select(node => (node.Name, (IEnumerable<InetAddress>)node.Underlay))
        : status?.Peers.Select(peer => (peer.Node, peer.Addresses.Where(address => InetAddress.TryParse(address, out _)).Select(InetAddress.Parse)));

    private EquatableArray<Cidr> PodCidrs(Node? own, StatusReport? status) =>
        configuration.PodCidrs.Count > 0 ? configuration.PodCidrs
        : own is not null ? own.PodCidrs
        : status?.PodCidrs.Where(prefix => Cidr.TryParse(prefix, out _)).Select(Cidr.Parse).ToEquatableArray() ?? [];

    private static List<string>? Names(string folder) => Directory.Exists(folder) ? [.. Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path))] : null;
}
