using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;

namespace Overlay.Tests.Kernel;

/// <summary>A fresh network namespace with our table's keeper in it.</summary>
public sealed class NftablesFixture : IDisposable
{
    private NftablesFixture(NetnsFixture net)
    {
        Net = net;
        Socket = net.Open(NetlinkProtocol.NETLINK_NETFILTER);
        Table = new(Socket);
    }

    /// <summary>The namespace.</summary>
    public NetnsFixture Net { get; }

    /// <summary>NETLINK_NETFILTER, inside.</summary>
    public NetlinkSocket Socket { get; }

    /// <summary>Of the namespace; nothing is in the kernel yet.</summary>
    public NftablesTable Table { get; }

    public static NftablesFixture Create() => new(NetnsFixture.Create());

    public void Dispose()
    {
        Socket.Dispose();
        Net.Dispose();
    }
}
