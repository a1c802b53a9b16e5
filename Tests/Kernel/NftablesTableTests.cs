using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Tests.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

public class NftablesTableTests
{
    [Test]
    public void Every_shape_goes_into_the_kernel_and_comes_back_equal()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_NETFILTER);
        var table = new NftablesTable(socket);
        Assert.That(table.Resync(NftablesShapes.Ruleset), Is.EqualTo(new[] { "table inet overlay is missing" }));
        TestContext.Out.WriteLine(net.Run("nft list ruleset"));
        Assert.That(table.Verify(NftablesShapes.Ruleset), Is.Empty);
    }
}
