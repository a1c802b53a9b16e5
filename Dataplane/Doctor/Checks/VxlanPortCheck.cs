using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink.Route;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>Who may have the port of VXLAN.</summary>
/// <param name="Port">The configured one.</param>
/// <param name="Vni">The configured one.</param>
/// <param name="Devices">The VXLAN devices of this machine.</param>
/// <param name="Sockets">The UDP sockets on that port.</param>
/// <param name="SeesProcesses">Whether every process's sockets could be looked at.</param>
internal sealed record VxlanPortObservation(ushort Port, uint Vni, IReadOnlyList<LinkMessage> Devices, IReadOnlyList<BoundSocket> Sockets, bool SeesProcesses);

/// <summary>Whether our VXLAN device has its UDP port, or can have it.</summary>
internal static class VxlanPortCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "vxlan port";

    /// <summary>Judges. Pure.</summary>
    public static IEnumerable<Finding> Judge(VxlanPortObservation observed)
    {
        var remedy = "Set another vxlan.port on all nodes, or";
        var onPort = observed.Devices.Where(device => device.Vxlan?.Port == observed.Port).ToList();
        var findings = onPort.Where(device => !Ownership.Tunnels.Contains(device.Name)).Select(device => Finding.Fail(
            Name,
            $"device {device.Name} is a VXLAN of somebody else on UDP {observed.Port}, with VNI {device.Vxlan!.Id}{(device.Vxlan.Id == observed.Vni ? ", which is ours, too: the kernel takes one of both" : "; what comes for it from others than nodes is dropped")}",
            $"{remedy} remove it with what made it (ip link delete {device.Name}).")).ToList();
        findings.AddRange(observed.Sockets.Select(socket => socket.Holder).OfType<string>().Distinct().Select(holder => Finding.Fail(
            Name, $"UDP {observed.Port} is taken by {holder}, so the VXLAN device cannot be set up", $"{remedy} end that process or have it listen elsewhere.")));
        if (findings.Count > 0)
            return findings;

        // A VXLAN device that is up has a socket that is the kernel's.
        if (onPort.Exists(device => device.IsUp))
            return [Finding.Pass(Name, $"UDP {observed.Port} is that of our {string.Join(" and ", onPort.Select(device => device.Name))}")];
        if (observed.Sockets.Count == 0)
            return [Finding.Pass(Name, $"UDP {observed.Port} is free")];
        return
        [
            observed.SeesProcesses
                ? Finding.Fail(Name, $"UDP {observed.Port} is taken by something in the kernel, or by a process of another PID namespace", $"{remedy} find out who has it (ss -lunp sport = {observed.Port}).")
                : Finding.Warn(Name, $"UDP {observed.Port} is taken, and by whom cannot be seen without rights", "Run this as root (sudo overlay doctor)."),
        ];
    }
}
