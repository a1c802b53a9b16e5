namespace Overlay.Dataplane.Cni;

/// <summary>In which boot of the machine an agent last used this stateDir: the file <c>boot-id</c> there holds the kernel's random/boot_id.</summary>
internal static class BootRecord
{
    private const string Kernel = "/proc/sys/kernel/random/boot_id";

    /// <summary>The file in a <c>stateDir</c>.</summary>
    public static string PathIn(string stateDir) => Path.Combine(stateDir, "boot-id");

    /// <summary>Notes the boot of now.</summary>
    /// <param name="stateDir">The configuration's <c>stateDir</c>.</param>
    /// <param name="bootId">The boot; the kernel's when not given.</param>
    /// <returns>Whether an agent has used the folder in this boot before: then every pair of ours in the kernel has its file here.</returns>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be written.</exception>
    public static bool Renew(string stateDir, string? bootId = null)
    {
        var path = PathIn(stateDir);
        var now = bootId ?? File.ReadAllText(Kernel).Trim();
        if (File.Exists(path) && File.ReadAllText(path).Trim() == now)
            return true;
        AtomicFile.Write(path, System.Text.Encoding.UTF8.GetBytes(now + "\n"));
        return false;
    }
}
