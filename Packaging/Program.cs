using System.Reflection;
using Overlay.Packaging;

// The programs linked statically, the top of the repository, and where to put what is made of them.
if (args is not [var programs, var repository, var output])
{
    Console.Error.WriteLine("usage: Overlay.Packaging PROGRAMS REPOSITORY OUTPUT");
    return 2;
}

var version = typeof(OciArchive).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
var chart = Path.Combine(repository, "charts", "overlay");
var manifests = Path.Combine(chart, "manifests");
try
{
    if (Directory.Exists(output))
        Directory.Delete(output, recursive: true);
    Directory.CreateDirectory(output);
    var (architecture, image) = OciArchive.Of(
        $"localhost/overlay:{version}", version, [Program("overlay"), Program("overlay-cni")]);
    Write($"overlay-{version}-linux-{architecture}.oci.tar", image);
    Write($"overlay-{version}.tgz", ReproducibleTar.Gzip(ReproducibleTar.Of(Files(chart, "overlay/", file => !file.StartsWith(manifests + Path.DirectorySeparatorChar)), executable: false)));
    foreach (var (path, content) in Files(manifests, "manifests/overlay/", _ => true))
        Write(path, content);
    return 0;
}
catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
{
    Console.Error.WriteLine($"package: {e.Message}");
    return 1;
}

KeyValuePair<string, byte[]> Program(string name) => KeyValuePair.Create(name, File.ReadAllBytes(Path.Combine(programs, name)));

IEnumerable<KeyValuePair<string, byte[]>> Files(string folder, string prefix, Func<string, bool> where) =>
    from file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Where(@where).Order(StringComparer.Ordinal)
    select KeyValuePair.Create(prefix + Path.GetRelativePath(folder, file).Replace('\\', '/'), File.ReadAllBytes(file));

void Write(string name, byte[] content)
{
    var path = Path.Combine(output, name);
    Directory.CreateDirectory(Path.GetDirectoryName(path)!);
    File.WriteAllBytes(path, content);
    Console.WriteLine($"{path} {content.Length / 1048576.0:0.0} MB");
}
