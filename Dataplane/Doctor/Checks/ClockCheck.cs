namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>Whether somebody keeps the clock: a wrong one makes certificates and tokens of the API server invalid, and logs of nodes hard to compare.</summary>
internal static class ClockCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "clock";

    /// <summary>Judges. Pure.</summary>
    /// <param name="isSynchronised">As the kernel has it; null when it does not tell.</param>
    /// <param name="reason">Why it does not.</param>
    public static Finding Judge(bool? isSynchronised, string reason) => isSynchronised switch
    {
        true => Finding.Pass(Name, "synchronised"),
        false => Finding.Warn(Name, "nobody has told the kernel that its clock is synchronised", "Run chrony, systemd-timesyncd or ntpd. A virtual machine whose host keeps its clock may leave it so."),
        null => Finding.Warn(Name, $"the kernel does not tell whether it is synchronised ({reason})", "In a container ask on the node itself: timedatectl."),
    };
}
