using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>The kernel's clock: adjtimex(2), which without modes only reads.</summary>
internal static class SystemClock
{
    /// <summary>Whether somebody keeps it; null when the kernel does not tell, and why.</summary>
    public static (bool? IsSynchronised, string Reason) Look()
    {
        var clock = default(Libc.Timex);
        return Libc.adjtimex(ref clock) < 0 ? (null, $"adjtimex: {Libc.LastErrno}") : ((clock.Status & Libc.STA_UNSYNC) == 0, "");
    }
}
