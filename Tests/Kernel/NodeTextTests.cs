using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Kernel;

public class NodeTextTests
{
    [Test]
    public void Projected_rows_in_the_kernel_print_as_NodeText_prints_them()
    {
        using var net = NetnsFixture.Create();
        net.Run("ip link add uplink type veth peer name far");
        net.Run("ip link set uplink up");
        net.Run("ip address add 192.0.2.1/24 dev uplink");
        net.Run("ip link add ovl0 type veth peer name pod");
        net.Run("ip link set pod up");
        net.Run("ip link set ovl0 up");
        Node[] nodes = [NodeOf(1), NodeOf(2), NodeOf(3)];
        var pod = new Attachment("c", "eth0", new("a", "b"), "", "", "ovl0", new(0x02_00_00_00_00_99), [InetAddress.Parse("10.42.1.5"), InetAddress.Parse("fd00:42:1::5")], "");
        var rows = NodeProjection.Project("n1", nodes, new OverlayConfiguration(), [pod], Underlay.Assumed(new NodeAddressChoice.Auto(), nodes[0].InternalIPs)).Rows;

        using var kernel = net.Netns.Run(NodeKernel.Open);
        kernel.Want(rows);
        kernel.Routing.Resync();
        Assert.That(kernel.Routing.Apply(), Is.Empty);

        Assert.That(Lines(net, "ip route show proto 79", "ip -6 route show proto 79"), Is.EquivalentTo(rows.Routes.Select(NodeText.Print)));
        Assert.That(Lines(net, "ip neigh show nud permanent"), Is.EquivalentTo(rows.Neighbors.Select(NodeText.Print)));
        Assert.That(Lines(net, "bridge fdb show").Where(line => line.Contains(" dst ", StringComparison.Ordinal)), Is.EquivalentTo(rows.Fdb.Select(NodeText.Print)));
    }

    private static IEnumerable<string> Lines(NetnsFixture net, params string[] commands) =>
        commands.SelectMany(command => net.Run(command).Split('\n', StringSplitOptions.RemoveEmptyEntries)).Select(line => line.TrimEnd());

    private static Node NodeOf(int number) =>
        new($"n{number}", [Cidr.Parse($"10.42.{number}.0/24"), Cidr.Parse($"fd00:42:{number}::/64")], [InetAddress.Parse($"192.0.2.{number}")]);
}
