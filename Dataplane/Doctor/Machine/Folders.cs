using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Netlink;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>Whether folders can be written to: access(2) and statvfs(3) tell, without anything being written.</summary>
internal static class Folders
{
    /// <summary>Looks at one that is there, or is to be made.</summary>
    /// <param name="key">Its key of the configuration.</param>
    /// <param name="path">Absolute.</param>
    public static FolderState Look(string key, string path)
    {
        var nearest = path;
        while (!Path.Exists(nearest) && Path.GetDirectoryName(nearest) is { } parent)
            nearest = parent;
        if (!Directory.Exists(nearest))
            return new(key, path, nearest, "it is no folder", null, null);
        var refusal = Libc.access(nearest, Libc.W_OK | Libc.X_OK) == 0 ? "" : Libc.LastErrno.ToString();
        if (Libc.statvfs(nearest, out var status) < 0)
            return new(key, path, nearest, refusal, null, null);
        return new(key, path, nearest, refusal, (long)Math.Min((ulong)status.AvailableBlocks * status.FragmentSize, long.MaxValue), status.Files == 0 ? null : (long)status.AvailableFiles);
    }
}
