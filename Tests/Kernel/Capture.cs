using PacketDotNet;
using SharpPcap;
using SharpPcap.LibPcap;

namespace Overlay.Tests.Kernel;

/// <summary>Every frame that passes a device of a namespace, from <see cref="Start"/> on, decoded.</summary>
internal sealed class Capture : IDisposable
{
    private readonly LibPcapLiveDevice _device;
    private readonly List<EthernetPacket> _frames = [];

    private Capture(LibPcapLiveDevice device)
    {
        _device = device;
        _device.OnPacketArrival += (_, capture) =>
        {
            var frame = (EthernetPacket)capture.GetPacket().GetPacket();
            lock (_frames)
                _frames.Add(frame);
        };
    }

    /// <summary>The frames so far, in order.</summary>
    public IReadOnlyList<EthernetPacket> Frames
    {
        get
        {
            lock (_frames)
                return [.. _frames];
        }
    }

    /// <summary>Begins; skips the test, saying why, where there is no libpcap.</summary>
    public static Capture Start(NetnsFixture net, string device)
    {
        try
        {
            // The handle stays in the namespace that it was opened in, whatever thread reads from it.
            return net.Netns.Run(() =>
            {
                var found = LibPcapLiveDeviceList.New().Single(candidate => candidate.Name == device);
                var capture = new Capture(found);
                found.Open(DeviceModes.Promiscuous | DeviceModes.MaxResponsiveness);
                found.StartCapture();
                return capture;
            });
        }
        catch (Exception e) when (e is DllNotFoundException or TypeInitializationException { InnerException: DllNotFoundException })
        {
            Assert.Ignore("Needs libpcap: install libpcap0.8.");
            throw;
        }
    }

    /// <summary>Waits until such a frame has passed: then every frame before it has been seen too.</summary>
    public void Await(Func<EthernetPacket, bool> wanted, string what) => TestCluster.Eventually(() => Frames.Any(wanted), what, () => string.Join('\n', Frames));

    /// <summary>Says that no frame was missed.</summary>
    public void AssertComplete() => Assert.That(_device.Statistics.DroppedPackets, Is.Zero, "frames that came faster than they were read");

    public void Dispose() => _device.Dispose();
}
