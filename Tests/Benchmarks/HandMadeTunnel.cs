using System.Net;
using Overlay.Dataplane.Desired;
using Overlay.Tests.Kernel;

namespace Overlay.Tests.Benchmarks;

/// <summary>
/// What a person would make with ip(8) of the same kernel devices as ours: two machines on the underlay of a cluster, a tunnel between them, and on each a pod's namespace behind a pair of interfaces.
/// No agent, and no rule unless it is asked for.
/// </summary>
internal sealed class HandMadeTunnel : IDisposable
{
    private static readonly string[] Macs = ["02:00:00:00:77:01", "02:00:00:00:77:02"];
    private readonly List<NetnsFixture> _nodes = [];
    private readonly NetnsFixture[] _pods = [NetnsFixture.Create(), NetnsFixture.Create()];

    /// <summary>Makes it.</summary>
    /// <param name="cluster">On whose underlay.</param>
    /// <param name="encapsulation">How packets travel.</param>
    /// <param name="mtu">Of tunnel and pods, bytes.</param>
    public HandMadeTunnel(TestCluster cluster, Encapsulation encapsulation, int mtu)
    {
        for (var i = 0; i < 2; i++)
        {
            var node = cluster.Join($"hand-{i}", Underlay(i));
            node.Net.Run("sysctl -q -w net.ipv4.ip_forward=1");
            _nodes.Add(node.Net);
            AddPod(node.Net, i, mtu);
            AddTunnel(node.Net, i, encapsulation, mtu);
        }
    }

    /// <summary>The end that sends, and the end that receives.</summary>
    public (NetnsFixture Net, IPAddress Address)[] Ends => [(_pods[0], IPAddress.Parse("10.77.0.5")), (_pods[1], IPAddress.Parse("10.77.1.5"))];

    /// <summary>Turns connection tracking on at both machines, as any rule about connections does.</summary>
    public void Track() => _nodes.ForEach(node => node.Run("nft -f -", "table inet tracking {\nchain forward { type filter hook forward priority filter; policy accept; ct state established,related accept; }\n}\n"));

    /// <summary>Turns it off again.</summary>
    public void Untrack() => _nodes.ForEach(node => node.Run("nft delete table inet tracking"));

    public void Dispose()
    {
        foreach (var pod in _pods)
            pod.Dispose();
    }

    private static string Underlay(int i) => $"192.168.7.{101 + i}";

    private void AddPod(NetnsFixture node, int i, int mtu)
    {
        var pod = _pods[i];
        node.Run($"ip link add hand0 mtu {mtu} address 02:00:00:00:77:0a type veth peer name eth0 mtu {mtu} netns {pod.Name}");
        node.Run("ip link set hand0 up");
        pod.Run("ip link set eth0 up");
        pod.Run($"ip address add 10.77.{i}.5/32 dev eth0");
        pod.Run("ip neigh replace 169.254.1.1 lladdr 02:00:00:00:77:0a dev eth0 nud permanent");
        pod.Run("ip route add 169.254.1.1 dev eth0");
        pod.Run("ip route add default via 169.254.1.1 dev eth0");
        node.Run($"ip route add 10.77.{i}.5 dev hand0");
    }

    private static void AddTunnel(NetnsFixture node, int i, Encapsulation encapsulation, int mtu)
    {
        var other = 1 - i;
        switch (encapsulation)
        {
            case Encapsulation.Vxlan:
                node.Run($"ip link add tunnel0 mtu {mtu} address {Macs[i]} type vxlan id 77 dstport 7789 local {Underlay(i)} nolearning");
                node.Run("ip link set tunnel0 up");
                node.Run($"ip address add 10.77.{i}.0/32 dev tunnel0");
                node.Run($"bridge fdb add {Macs[other]} dev tunnel0 dst {Underlay(other)} self permanent");
                node.Run($"ip neigh add 10.77.{other}.0 lladdr {Macs[other]} dev tunnel0 nud permanent");
                node.Run($"ip route add 10.77.{other}.0/24 via 10.77.{other}.0 dev tunnel0 onlink");
                break;
            case Encapsulation.Ipip:
                node.Run($"ip link add tunnel0 mtu {mtu} type ipip local {Underlay(i)} ttl 64");
                node.Run("ip link set tunnel0 up");
                node.Run($"ip address add 10.77.{i}.0/32 dev tunnel0");
                node.Run($"ip route add 10.77.{other}.0/24 via {Underlay(other)} dev tunnel0 onlink");
                break;
            default:
                node.Run($"ip route add 10.77.{other}.0/24 via {Underlay(other)} dev uplink");
                break;
        }
    }
}
