using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Overlay.Tests.Guest;

namespace Overlay.Tests.Kernel;

/// <summary>Rows as the kernel takes them and as its tools print them, for each encapsulation and underlay; those whose devices this machine's kernel may lack in the guest.</summary>
/// <param name="encapsulation">Of the node.</param>
/// <param name="underlay">The nodes' addresses, <c>#</c> for the number of the node.</param>
public abstract class NodeTextTests(Encapsulation encapsulation, params string[] underlay)
{
    [Test]
    public void Projected_rows_in_the_kernel_print_as_NodeText_prints_them()
    {
        using var net = NetnsFixture.Create();
        net.Run("ip link add underlay type veth peer name far");
        net.Run("ip link set far up");
        net.Run("ip link set underlay up");
        Node[] nodes = [NodeOf(1), NodeOf(2), NodeOf(3)];
        foreach (var address in nodes[0].InternalIPs)
            net.Run($"ip address add {address}/{(address.Family == Family.IPv4 ? "24" : "64 nodad")} dev underlay");
        net.Run("ip link add ovl0 type veth peer name pod");
        net.Run("ip link set pod up");
        net.Run("ip link set ovl0 up");
        var pod = new Attachment("c", "eth0", new("a", "b"), "", "", "ovl0", new(0x02_00_00_00_00_99), [InetAddress.Parse("10.42.1.5"), InetAddress.Parse("fd00:42:1::5")], "");
        var rows = NodeProjection.Project("n1", nodes, new OverlayConfiguration { Encapsulation = encapsulation }, [pod], Underlay.Assumed(new NodeAddressChoice.Auto(), nodes[0].InternalIPs)).Rows;

        using var kernel = net.Netns.Run(NodeKernel.Open);
        kernel.Want(rows);
        kernel.Routing.Resync();
        Assert.That(kernel.Routing.Apply(), Is.Empty);

        Assert.That(Lines(net, "ip route show proto 79", "ip -6 route show proto 79"), Is.EquivalentTo(rows.Routes.Select(NodeText.Print)));
        Assert.That(Lines(net, "ip neigh show nud permanent"), Is.EquivalentTo(rows.Neighbors.Select(NodeText.Print)));
        Assert.That(Lines(net, "bridge fdb show").Where(line => line.Contains(" dst ", StringComparison.Ordinal)), Is.EquivalentTo(rows.Fdb.Select(NodeText.Print)));
        Assert.That(kernel.Routing.Resync(), Is.Empty);
        Assert.That(kernel.Routing.PendingCount, Is.Zero, "it is read as it was written");

        kernel.Want(NodeRows.Empty);
        Assert.That(kernel.Routing.Apply(), Is.Empty);
        Assert.That(Lines(net, "ip route show proto 79", "ip -6 route show proto 79"), Is.Empty);
        Assert.That(net.Run("ip -o link show"), Does.Not.Contain(" overlay-"));
    }

    private static IEnumerable<string> Lines(NetnsFixture net, params string[] commands) =>
        commands.SelectMany(command => net.Run(command).Split('\n', StringSplitOptions.RemoveEmptyEntries)).Select(line => line.TrimEnd());

    private Node NodeOf(int number) => new(
        $"n{number}",
        [Cidr.Parse($"10.42.{number}.0/24"), Cidr.Parse($"fd00:42:{number}::/64")],
        underlay.Select(address => InetAddress.Parse(address.Replace("#", $"{number}", StringComparison.Ordinal))).ToEquatableArray());
}

public class VxlanNodeTextTests() : NodeTextTests(Encapsulation.Vxlan, "192.0.2.#", "2001:db8::#");

public class PlainNodeTextTests() : NodeTextTests(Encapsulation.None, "192.0.2.#", "2001:db8::#");

public class PlainOverIPv6NodeTextTests() : NodeTextTests(Encapsulation.None, "2001:db8::#");

[InGuest]
public class IpInIpNodeTextTests() : NodeTextTests(Encapsulation.Ipip, "192.0.2.#", "2001:db8::#");

[InGuest]
public class IpInIpOverIPv6NodeTextTests() : NodeTextTests(Encapsulation.Ipip, "2001:db8::#");
