namespace Overlay.Packaging;

/// <summary>What somebody downloads who installs without containers: programs, documents and bill of one architecture below one folder; <c>sudo ./overlay install</c> puts them where they belong.</summary>
internal static class ReleaseArchive
{
    /// <summary>The archive, a compressed tar.</summary>
    /// <param name="folder">The one folder in it: <c>overlay-0.1.0-linux-amd64</c>.</param>
    /// <param name="programs">By name; they are executable, nothing else is.</param>
    /// <param name="others">By path below the folder.</param>
    public static byte[] Of(string folder, IReadOnlyList<KeyValuePair<string, byte[]>> programs, IEnumerable<KeyValuePair<string, byte[]>> others)
    {
        var executable = programs.Select(program => $"{folder}/{program.Key}").ToHashSet(StringComparer.Ordinal);
        return ReproducibleTar.Gzip(ReproducibleTar.Of(
            programs.Concat(others).Select(file => KeyValuePair.Create($"{folder}/{file.Key}", file.Value)),
            executable.Contains));
    }
}
