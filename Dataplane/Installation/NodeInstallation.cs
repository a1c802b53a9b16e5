using System.Runtime.Versioning;
using System.Text;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Installation;

/// <summary>Puts Overlay onto a node, and takes it off again. Says in a line each what it did.</summary>
/// <param name="root">What goes before every path, as make's DESTDIR does; empty for this machine.</param>
/// <param name="prefix">Where programs and their documents go: <c>/usr/local</c>.</param>
/// <param name="output">What was done.</param>
[UnsupportedOSPlatform("windows")]
internal sealed class NodeInstallation(string root, string prefix, TextWriter output)
{
    /// <summary>The CNI plugin's file.</summary>
    public const string Plugin = "overlay-cni";

    /// <summary>Runtimes call a plugin of this name for every pod; overlay-cni does its work when it is called so.</summary>
    private const string Loopback = "loopback";

    private const string Units = "/etc/systemd/system";

    /// <summary>Where the agent's program goes.</summary>
    public string Program => $"{prefix}/bin/overlay";

    /// <summary>Where the unit goes.</summary>
    public static string Unit => $"{Units}/{SystemdUnit.Name}";

    /// <summary>Puts the plugin, and a loopback that is a link to it where there is none, into a folder.</summary>
    /// <param name="source">Folder of the plugin.</param>
    /// <param name="target">Folder of the plugins.</param>
    /// <exception cref="IOException">It cannot be done.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be done.</exception>
    public void InstallPlugin(string source, string target)
    {
        Write(new(Path.Combine(target, Plugin), File.ReadAllBytes(Path.Combine(source, Plugin)), IsProgram: true));
        Link(root + Path.Combine(target, Loopback));
    }

    /// <summary>Puts everything onto the node: programs, unit, documents, and a configuration where there is none. A second time changes nothing.</summary>
    /// <param name="source">Folder of the programs.</param>
    /// <param name="configuration">Says where the plugins are, and which folders the unit has to allow.</param>
    /// <param name="documents">Man pages and completions.</param>
    /// <returns>Whether anything that a running agent would have to be restarted for was written.</returns>
    /// <exception cref="IOException">It cannot be done.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be done.</exception>
    public bool Install(string source, OverlayConfiguration configuration, IReadOnlyList<InstalledFile> documents)
    {
        var earlier = InstalledFiles.Read(root, prefix);
        var unit = new SystemdUnit(Program, configuration);
        var program = new InstalledFile(Program, File.ReadAllBytes(Path.Combine(source, "overlay")), IsProgram: true);
        var plugin = PluginOf(source, Path.Combine(configuration.CniBinDir, Plugin));
        List<InstalledFile> files = [program, plugin, new(Unit, Encoding.UTF8.GetBytes(unit.Text)), .. documents];
        var sample = new InstalledFile(ConfigurationReader.DefaultPath, Encoding.UTF8.GetBytes(SampleConfiguration.Text));
        var hasConfiguration = File.Exists(root + sample.Path);
        foreach (var file in files)
            CheckThatItIsOurs(file, earlier);

        Remember(files, hasConfiguration && !earlier.IsAsInstalled(root, sample.Path) ? null : sample with { Content = hasConfiguration ? File.ReadAllBytes(root + sample.Path) : sample.Content });
        KeepChangedUnit(earlier);
        var isNew = false;
        foreach (var file in files)
            isNew |= Write(file) && !documents.Contains(file);
        Link(root + Path.Combine(configuration.CniBinDir, Loopback));
        if (hasConfiguration)
            output.WriteLine($"{root}{sample.Path} stays as it is");
        else
            Write(sample);
        foreach (var folder in unit.FoldersToMake)
            Directory.CreateDirectory(root + folder);
        foreach (var path in earlier.Hashes.Keys.Where(path => path != sample.Path && !files.Exists(file => file.Path == path) && earlier.IsAsInstalled(root, path)))
            Remove(path); // of an earlier version, or of another cni.binDir
        return isNew;
    }

    /// <summary>Removes what <see cref="Install"/> put there and nobody has changed since.</summary>
    /// <param name="purge">Also a changed configuration.</param>
    /// <returns>Whether anything was there.</returns>
    /// <exception cref="IOException">It cannot be done.</exception>
    /// <exception cref="UnauthorizedAccessException">It must not be done.</exception>
    public bool Uninstall(bool purge)
    {
        var installed = InstalledFiles.Read(root, prefix);
        foreach (var path in installed.Hashes.Keys.Order(StringComparer.Ordinal))
        {
            if (Path.GetFileName(path) == Plugin && new FileInfo(root + Path.Combine(Path.GetDirectoryName(path)!, Loopback)).LinkTarget == Plugin)
                Remove(Path.Combine(Path.GetDirectoryName(path)!, Loopback));
            if (installed.IsAsInstalled(root, path))
                Remove(path);
            else if (File.Exists(root + path) && path != ConfigurationReader.DefaultPath)
                output.WriteLine($"{root}{path} has been changed since it was installed, and stays");
        }

        if (File.Exists(root + ConfigurationReader.DefaultPath))
        {
            if (purge)
                Remove(ConfigurationReader.DefaultPath);
            else
                output.WriteLine($"{root}{ConfigurationReader.DefaultPath} is yours, and stays (--purge removes it)");
        }

        var list = InstalledFiles.PathBelow(prefix);
        if (File.Exists(root + list))
            Remove(list);
        foreach (var folder in (string[])[Path.GetDirectoryName(list)!, Path.GetDirectoryName(ConfigurationReader.DefaultPath)!])
        {
            if (Directory.Exists(root + folder) && !Directory.EnumerateFileSystemEntries(root + folder).Any())
                Directory.Delete(root + folder);
        }

        return installed.Hashes.Count > 0;
    }

    // From beside the program; the installed program itself has it where it put it.
    private InstalledFile PluginOf(string source, string target)
    {
        var beside = Path.Combine(source, Plugin);
        var isInstalledOne = Path.GetFullPath(source) == Path.GetFullPath(root + $"{prefix}/bin") && !File.Exists(beside);
        return new(target, File.ReadAllBytes(isInstalledOne ? root + target : beside), IsProgram: true);
    }

    private void CheckThatItIsOurs(InstalledFile file, InstalledFiles earlier)
    {
        var path = root + file.Path;
        if (!File.Exists(path) || earlier.Hashes.ContainsKey(file.Path) || Path.GetFileName(path) == Plugin || File.ReadAllBytes(path).AsSpan().SequenceEqual(file.Content))
            return;
        if (file.Path == Unit && File.ReadLines(path).FirstOrDefault() == SystemdUnit.FirstLine)
            return;
        throw new IOException($"{path} is there, and no overlay install put it there. Nothing was installed; move it away{(file.Path == Program ? ", or choose another --prefix" : "")}.");
    }

    private void Remember(List<InstalledFile> files, InstalledFile? sample)
    {
        var hashes = files.Append(sample).OfType<InstalledFile>().ToDictionary(file => file.Path, file => file.Hash, StringComparer.Ordinal);
        new InstalledFile(InstalledFiles.PathBelow(prefix), new InstalledFiles(hashes).Content).Write(root);
    }

    // The unit's first line says that changes belong elsewhere; what was done all the same is not lost.
    private void KeepChangedUnit(InstalledFiles earlier)
    {
        if (!earlier.Hashes.ContainsKey(Unit) || !File.Exists(root + Unit) || earlier.IsAsInstalled(root, Unit))
            return;
        File.Copy(root + Unit, $"{root}{Unit}.changed", overwrite: true);
        output.WriteLine($"{root}{Unit} had been changed; a copy is {root}{Unit}.changed. Changes belong into a drop-in: systemctl edit overlay");
    }

    private bool Write(InstalledFile file)
    {
        var isWritten = file.Write(root);
        output.WriteLine($"{root}{file.Path} {(isWritten ? "written" : "is already this one")}");
        return isWritten;
    }

    private void Remove(string path)
    {
        File.Delete(root + path);
        output.WriteLine($"{root}{path} removed");
    }

    // A link, so that it is always the same version; it never takes the place of somebody else's.
    private void Link(string path)
    {
        var there = new FileInfo(path);
        if (there.LinkTarget == Plugin)
        {
            output.WriteLine($"{path} is already a link to {Plugin}");
        }
        else if (there.Exists && there.ResolveLinkTarget(returnFinalTarget: true) is not { Exists: false })
        {
            output.WriteLine($"{path} of somebody else stays");
        }
        else
        {
            File.Delete(path); // a link to nothing
            File.CreateSymbolicLink(path, Plugin);
            output.WriteLine($"{path} linked to {Plugin}");
        }
    }
}
