namespace Overlay.Dataplane.Doctor.Checks;

/// <summary>The folder from which the container runtime has its CNI configuration.</summary>
/// <param name="Folder">Its path (<c>cni.confDir</c>).</param>
/// <param name="OwnName">Name of our file (<c>cni.confName</c>).</param>
/// <param name="Names">Names of the files there; null when there is no such folder.</param>
internal sealed record ConflistObservation(string Folder, string OwnName, IReadOnlyList<string>? Names);

/// <summary>Whether the runtime takes our configuration: it takes the first, by name (libcni's ConfFiles: .conf, .conflist and .json).</summary>
internal static class ConflistCheck
{
    /// <summary>Name of the check.</summary>
    public const string Name = "cni conf";

    /// <summary>Judges. Pure.</summary>
    public static Finding Judge(ConflistObservation observed)
    {
        if (observed.Names is null)
            return Finding.Pass(Name, $"{observed.Folder} is not there yet; the agent makes it");
        var files = observed.Names.Where(name => name.EndsWith(".conf", StringComparison.Ordinal) || name.EndsWith(".conflist", StringComparison.Ordinal) || name.EndsWith(".json", StringComparison.Ordinal)).ToList();
        var before = files.Where(name => string.CompareOrdinal(name, observed.OwnName) < 0).Order(StringComparer.Ordinal).ToList();
        var isThere = files.Contains(observed.OwnName);
        if (before.Count == 0)
            return Finding.Pass(Name, isThere ? $"{observed.OwnName} is the first in {observed.Folder}" : $"nothing in {observed.Folder} comes before {observed.OwnName}, which the agent writes once it can serve");
        var (what, remedy) = ($"{string.Join(", ", before)} in {observed.Folder} {(before.Count == 1 ? "comes" : "come")} before {observed.OwnName}", "Move it out of that folder when its provider is gone, or set cni.confName to a name that comes first.");
        return isThere
            ? Finding.Fail(Name, $"{what}: the runtime takes the first, so new pods are not ours", remedy)
            : Finding.Warn(Name, $"{what}: the runtime would go on taking the first once the agent has written ours", remedy);
    }
}
