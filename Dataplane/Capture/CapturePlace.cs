using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Operator;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>Where to capture, and whose packets.</summary>
/// <param name="Devices">Names of devices.</param>
/// <param name="Addresses">Of a pod, where other packets pass as well; null: all packets.</param>
internal sealed record CapturePlace(IReadOnlyList<string> Devices, IReadOnlySet<InetAddress>? Addresses)
{
    /// <summary>Chooses: the named devices, the underlay, the pod's own, those that lead to it, or the tunnels. Pure.</summary>
    /// <param name="report">What the agent says; null: none answers.</param>
    /// <param name="pod">The pod that is asked for, or null.</param>
    /// <param name="interfaces">The devices that are named.</param>
    /// <param name="underlay">Whether the underlay is asked for.</param>
    /// <param name="exists">Whether there is a device of this name.</param>
    /// <exception cref="CaptureException">There is no such place.</exception>
    public static CapturePlace Choose(NameReport? report, FoundPod? pod, IReadOnlyList<string> interfaces, bool underlay, Func<string, bool> exists)
    {
        var addresses = pod?.Addresses.Select(InetAddress.Parse).ToHashSet();
        if (interfaces.Count > 0)
            return new([.. interfaces.Distinct()], addresses);
        if (underlay && report is null)
            throw new CaptureException("Which device is the underlay, the agent knows, and none answers: name the device by --interface.");
        if (underlay)
            return report!.UnderlayDevices.Count > 0 ? new(report.UnderlayDevices, addresses) : throw new CaptureException("No device has this node's address; 'overlay status' says why. Name the device by --interface.");
        if (pod is { Interfaces.Count: > 0 })
            return new(pod.Interfaces, null);
        if (pod is { Devices.Count: > 0 })
            return new(pod.Devices, addresses);
        var tunnels = Ownership.Tunnels.Where(exists).Order(StringComparer.Ordinal).ToList();
        return tunnels.Count > 0 ? new(tunnels, addresses) : throw new CaptureException("There is no tunnel device of Overlay here (with encapsulation none there never is): use --underlay, --pod or --interface.");
    }

    /// <summary>A pod among those wired here.</summary>
    public static FoundPod? Local(IEnumerable<Attachment> attachments, NamespacedName name)
    {
        var own = attachments.Where(attachment => attachment.Pod == name).ToList();
        return own.Count == 0 ? null : new(name.ToString(), null, [.. own.SelectMany(one => one.Addresses).Select(address => address.ToString())], [.. own.Select(one => one.HostInterface)], []);
    }
}
