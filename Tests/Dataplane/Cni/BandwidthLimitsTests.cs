using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;

namespace Overlay.Tests.Dataplane.Cni;

public class BandwidthLimitsTests
{
    private const int Mtu = 1450;

    [Test]
    public void Bits_become_bytes_and_each_direction_is_its_own()
    {
        Assert.That(BandwidthLimits.Read(new() { IngressRate = 1_000_007, IngressBurst = 80_001 }, Mtu, out var ingress, out var egress), Is.Null);
        Assert.That((ingress, egress), Is.EqualTo((new RateLimit(125_000, 10_000), (RateLimit?)null)));
        Assert.That(BandwidthLimits.Read(new() { EgressRate = 8, EgressBurst = 8 * (Mtu + 14) }, Mtu, out ingress, out egress), Is.Null);
        Assert.That((ingress, egress), Is.EqualTo(((RateLimit?)null, new RateLimit(1, Mtu + 14))));
        Assert.That(BandwidthLimits.Read(null, Mtu, out ingress, out egress), Is.Null);
        Assert.That((ingress, egress), Is.EqualTo(((RateLimit?)null, (RateLimit?)null)));
    }

    [TestCase(1_000, 65_536u)]
    [TestCase(100_000_000, 312_500u)]
    [TestCase(1_000_000_000_000_000, uint.MaxValue)]
    public void A_burst_that_nobody_chose_is_what_comes_in_25_ms_and_a_whole_packet(long rate, uint burst)
    {
        Assert.That(BandwidthLimits.Read(new() { IngressRate = rate }, Mtu, out var ingress, out _), Is.Null);
        Assert.That(ingress, Is.EqualTo(new RateLimit(rate / 8, burst)));
    }

    [Test]
    public void A_packet_waits_25_ms_at_most_beyond_the_burst()
    {
        Assert.That(new RateLimit(1_000_000, 10_000).Queue, Is.EqualTo(35_000));
        Assert.That(new RateLimit(1_000_000, uint.MaxValue).Queue, Is.EqualTo(uint.MaxValue));
    }

    // Above all what kubelet lets through (1k to 1P), and the burst that containerd and CRI-O put beside it.
    [TestCase(1_000, 4_294_967_295)]
    [TestCase(1_000_000_000_000_000, 4_294_967_295)]
    [TestCase(8, 34_359_738_360)]
    public void What_the_kernel_can_do_is_taken(long rate, long burst) =>
        Assert.That(BandwidthLimits.Read(new() { EgressRate = rate, EgressBurst = burst }, Mtu, out _, out _), Is.Null);

    [TestCase(7, 0, "egressRate is 7 bits a second, and can be 8 to 1000000000000000, or 0 for no limit")]
    [TestCase(-1, 0, "egressRate is -1 bits")]
    [TestCase(1_000_000_000_000_001, 0, "egressRate is 1000000000000001 bits")]
    [TestCase(1_000, 11_711, "egressBurst is 11711 bits, and can be 11712 (a packet of the pod's MTU, 1450: a longer one than the burst would never pass) to 34359738360, or 0 to leave it to the agent")]
    [TestCase(1_000, 34_359_738_368, "egressBurst is 34359738368 bits")]
    [TestCase(1_000, -8, "egressBurst is -8 bits")]
    public void What_it_cannot_is_refused(long rate, long burst, string expected) =>
        Assert.That(BandwidthLimits.Read(new() { EgressRate = rate, EgressBurst = burst }, Mtu, out _, out _), Does.StartWith(expected));
}
