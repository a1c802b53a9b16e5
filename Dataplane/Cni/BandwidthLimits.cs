using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cni;

/// <summary>Reads <c>runtimeConfig.bandwidth</c> as what the kernel can do of it; pure.</summary>
internal static class BandwidthLimits
{
    private const int BitsPerByte = 8;
    private const int EthernetHeader = 14;

    // What kubelet takes for reasonable, too.
    private const long MostRate = 1_000_000_000_000_000;

    /// <summary>The limits asked for, or why they cannot be had.</summary>
    /// <param name="asked">What the runtime asks for, in bits; null when it asks for nothing.</param>
    /// <param name="mtu">Of the pod's interface.</param>
    /// <param name="ingress">What the pod may receive; null when there is no limit.</param>
    /// <param name="egress">What the pod may send; null when there is no limit.</param>
    /// <returns>One sentence; null when all is well.</returns>
    public static string? Read(Bandwidth? asked, int mtu, out RateLimit? ingress, out RateLimit? egress)
    {
        ingress = egress = null;
        return asked is null ? null
            : Read("ingress", asked.IngressRate, asked.IngressBurst, mtu, out ingress)
            ?? Read("egress", asked.EgressRate, asked.EgressBurst, mtu, out egress);
    }

    private static string? Read(string direction, long rate, long burst, int mtu, out RateLimit? limit)
    {
        limit = null;
        if (rate == 0)
            return null;
        if (rate is < BitsPerByte or > MostRate)
            return $"{direction}Rate is {rate} bits a second, and can be {BitsPerByte} to {MostRate}, or 0 for no limit";
        limit = RateLimit.Of(rate / BitsPerByte);
        if (burst == 0)
            return null;
        var longest = mtu + EthernetHeader;
        if (burst / BitsPerByte < longest || burst / BitsPerByte > uint.MaxValue)
            return $"{direction}Burst is {burst} bits, and can be {longest * BitsPerByte} (a packet of the pod's MTU, {mtu}: a longer one than the burst would never pass) to {uint.MaxValue * (long)BitsPerByte}, or 0 to leave it to the agent";
        limit = limit with { Burst = (uint)(burst / BitsPerByte) };
        return null;
    }
}
