using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>Who computes the checksums of what a device sends.</summary>
/// <param name="Device">Its name.</param>
/// <param name="Driver">Its driver: <c>virtio_net</c>; empty when it does not say.</param>
/// <param name="IsOffloaded">Whether it computes them itself; null: it does not say.</param>
internal sealed record ChecksumOffload(string Device, string Driver, bool? IsOffloaded);

/// <summary>What is known of checksums.</summary>
/// <param name="Encapsulation">As configured.</param>
/// <param name="Underlay">The devices that carry the tunnel.</param>
/// <param name="Tunnels">Our tunnel devices, where there are any.</param>
/// <param name="Degraded">What the agent says is degraded; empty when none runs.</param>
internal sealed record ChecksumObservation(Encapsulation Encapsulation, IReadOnlyList<ChecksumOffload> Underlay, IReadOnlyList<ChecksumOffload> Tunnels, IReadOnlyList<string> Degraded);

/// <summary>Whether a network card is known, or was found, to compute checksums inside of VXLAN wrongly.</summary>
internal static class ChecksumCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "checksum";

    // VMware's, with virtual hardware that takes tunnels' checksums upon itself: projectcalico/calico#4727, openshift/machine-config-operator#2734.
    private static readonly HashSet<string> Suspects = new(StringComparer.Ordinal) { "vmxnet3" };

    /// <summary>Whether a line that the agent calls degraded is about this.</summary>
    public static bool IsAbout(string degraded) => degraded.Contains("checksum", StringComparison.OrdinalIgnoreCase);

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(ChecksumObservation observed)
    {
        var tunnel = observed.Tunnels.Count > 0 ? observed.Tunnels[0].Device : Ownership.VxlanDevice;
        var remedy = $"Have the kernel compute them: ethtool -K {tunnel} tx-checksum-ip-generic off.";
        foreach (var line in observed.Degraded.Where(IsAbout))
        {
            // What is on a tunnel of ours the agent has seen to.
            var isMended = Ownership.Tunnels.Any(device => line.StartsWith($"{device}:", StringComparison.Ordinal));
            yield return isMended
                ? Finding.Warn(Name, $"the agent says: {line.TrimEnd('.')}", "Nothing is broken; update the network card's driver to have its speed back.")
                : Finding.Fail(Name, $"the agent says: {line.TrimEnd('.')}", "Do what it says: TCP and UDP between nodes depend on it.");
        }

        foreach (var device in observed.Underlay)
        {
            var isSuspect = observed.Encapsulation == Encapsulation.Vxlan && Suspects.Contains(device.Driver) && device.IsOffloaded == true && !observed.Tunnels.Any(own => own.IsOffloaded == false);
            yield return isSuspect
                ? Finding.Warn(Name, $"{Text(device)}; cards of this driver are known to get them wrong inside of VXLAN: nodes then answer ping and nothing else", $"When pods of different nodes cannot connect: {char.ToLowerInvariant(remedy[0])}{remedy[1..]}")
                : Finding.Pass(Name, Text(device));
        }

        foreach (var device in observed.Tunnels)
            yield return Finding.Pass(Name, Text(device));
    }

    private static string Text(ChecksumOffload device) =>
        $"{device.Device}{(device.Driver.Length > 0 ? $" (driver {device.Driver})" : "")}: {device.IsOffloaded switch { true => "the device computes checksums", false => "the kernel computes checksums", null => "does not say who computes checksums" }}";
}
