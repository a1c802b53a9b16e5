using System.Globalization;

namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>A folder that the agent or the plugin writes to.</summary>
/// <param name="Key">Its key of the configuration.</param>
/// <param name="Path">Where it is, or is to be.</param>
/// <param name="Nearest">Itself, or the nearest folder above that is there.</param>
/// <param name="Refusal">Why that cannot be written to; empty when it can.</param>
/// <param name="FreeBytes">Of its file system, for those without privilege; null when that is not known.</param>
/// <param name="FreeInodes">Files that can still be made there; null when the file system has no such limit.</param>
internal sealed record FolderState(string Key, string Path, string Nearest, string Refusal, long? FreeBytes, long? FreeInodes);

/// <summary>Whether what must be written can be.</summary>
internal static class DiskCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "disk";

    private const long LeastBytes = 16 << 20;
    private const long LeastInodes = 1000; // some files for each pod

    /// <summary>Judges. Pure.</summary>
    /// <param name="folders">The folders.</param>
    /// <param name="isPrivileged">Whether we have the agent's rights; without, a refusal says nothing of it.</param>
    public static IEnumerable<Finding> Judge(IReadOnlyList<FolderState> folders, bool isPrivileged)
    {
        var findings = folders.SelectMany(folder => OfFolder(folder, isPrivileged)).ToList();
        return findings.Count > 0 ? findings : [Finding.Pass(Name, $"{string.Join(", ", folders.Select(folder => folder.Key))}: writable, with room")];
    }

    private static IEnumerable<Finding> OfFolder(FolderState folder, bool isPrivileged)
    {
        var place = $"{folder.Key} {folder.Path}";
        if (folder.Refusal.Length > 0)
        {
            var what = folder.Nearest == folder.Path ? $"{place} cannot be written to ({folder.Refusal})" : $"{place} cannot be made in {folder.Nearest} ({folder.Refusal})";
            yield return isPrivileged
                ? Finding.Fail(Name, what, $"Mount it writable, or set {folder.Key} to another folder.")
                : Finding.Warn(Name, $"{what} by this user; whether the agent can is not known", "Run this as root (sudo overlay doctor).");
        }

        if (folder.FreeBytes < LeastBytes)
            yield return Finding.Fail(Name, string.Create(CultureInfo.InvariantCulture, $"{place} has {folder.FreeBytes / 1048576.0:0.0} MiB left"), $"Make room: {LeastBytes >> 20} MiB at least.");
        if (folder.FreeInodes < LeastInodes)
            yield return Finding.Fail(Name, string.Create(CultureInfo.InvariantCulture, $"the file system of {place} takes {folder.FreeInodes} files more"), "Remove small files there (df -i); images and logs of containers are the usual ones.");
    }
}
