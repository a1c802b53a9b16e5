using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Route;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Cli.Demo;

/// <summary>
/// The machines of the demo: network namespaces for the nodes, for the outside and for the pods, and one with the switch between the machines.
/// They have no names, so the kernel ends them with this process and its children, whatever happens.
/// </summary>
internal sealed class DemoNetwork : IDisposable
{
    private const int BridgeIndex = 100;
    private const int NicIndex = 100;
    private const int LoopbackIndex = 1;

    private readonly List<Netns> _all = [];
    private readonly Dictionary<DemoNode, Netns> _nodes = [];
    private readonly Dictionary<DemoPod, Netns> _pods = [];

    /// <summary>Makes everything.</summary>
    /// <exception cref="NetnsException">The kernel refuses a namespace.</exception>
    /// <exception cref="NetlinkException">The kernel refuses a device, such as bridge or veth.</exception>
    public DemoNetwork()
    {
        try
        {
            var bridge = Create();
            Request(bridge, "the switch of the underlay", (socket, writer) =>
                LinkMessage.WriteNewBridge(writer, socket.NextSequence(), new() { Index = BridgeIndex, Name = "underlay", Up = true }));
            foreach (var node in DemoScenario.Nodes)
                _nodes.Add(node, Plug(bridge, node.Name, node.Underlay));
            Outside = Plug(bridge, DemoScenario.Outside, DemoScenario.OutsideAddresses);
            foreach (var pod in DemoScenario.Pods)
                _pods.Add(pod, Create());
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The nodes' namespaces, each with <c>eth0</c> on the underlay.</summary>
    public IReadOnlyDictionary<DemoNode, Netns> Nodes => _nodes;

    /// <summary>The pods' namespaces, empty until the plugin is called.</summary>
    public IReadOnlyDictionary<DemoPod, Netns> Pods => _pods;

    /// <summary>The namespace of <see cref="DemoScenario.Outside"/>.</summary>
    public Netns Outside { get; }

    /// <summary>Lets all namespaces go.</summary>
    public void Dispose() => _all.ForEach(netns => netns.Dispose());

    private Netns Create()
    {
        _all.Add(Netns.Create());
        return _all[^1];
    }

    // A machine with eth0, whose other end is a port of the switch.
    private Netns Plug(Netns bridge, string name, EquatableArray<Cidr> addresses)
    {
        var machine = Create();
        Request(bridge, $"the port of {name}", (socket, writer) => LinkMessage.WriteNewVeth(
            writer,
            socket.NextSequence(),
            new() { Name = name, Index = BridgeIndex + _all.Count, Master = BridgeIndex, Up = true }, // The kernel heeds the peer's index only if this one is given, too.
            new() { Name = "eth0", Index = NicIndex, NetnsDescriptor = machine.Descriptor }));
        Request(machine, $"eth0 of {name}", (socket, writer) =>
        {
            LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = LoopbackIndex, Up = true });
            LinkMessage.WriteSet(writer, socket.NextSequence(), new() { Index = NicIndex, Up = true });
            foreach (var address in addresses)
                AddressMessage.WriteNew(writer, socket.NextSequence(), new() { Index = NicIndex, Prefix = address, Flags = IfaF.IFA_F_NODAD });
        });
        return machine;
    }

    private static void Request(Netns netns, string what, Action<NetlinkSocket, NetlinkWriter> write)
    {
        using var socket = netns.Run(() => NetlinkSocket.Open(NetlinkProtocol.NETLINK_ROUTE));
        using var writer = new NetlinkWriter();
        write(socket, writer);
        socket.Request(writer, what);
    }
}
