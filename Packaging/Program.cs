using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Overlay.Packaging;

// A folder with one folder for each architecture, the programs linked statically in it; the top of the repository; and where to put what is made of them.
if (args is not [var programs, var repository, var output])
{
    Console.Error.WriteLine("usage: Overlay.Packaging PROGRAMS REPOSITORY OUTPUT");
    return 2;
}

var version = typeof(OciArchive).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
var chart = Path.Combine(repository, "charts", "overlay");
var manifests = Path.Combine(chart, "manifests");
var sums = new SortedDictionary<string, string>(StringComparer.Ordinal);
try
{
    if (Directory.Exists(output))
        Directory.Delete(output, recursive: true);
    Directory.CreateDirectory(output);
    var images = Directory.EnumerateDirectories(programs).Order(StringComparer.Ordinal).Select(folder => new[] { Program(folder, "overlay"), Program(folder, "overlay-cni") }).ToList();
    foreach (var image in images)
        WriteImage([image]);
    if (images.Count > 1)
        WriteImage([.. images]);
    var documents = Documents();
    foreach (var programsOfOne in images)
        WriteRelease(programsOfOne, documents);
    Write($"overlay-{version}.tgz", ReproducibleTar.Gzip(ReproducibleTar.Of(Files(chart, "overlay/", file => !file.StartsWith(manifests + Path.DirectorySeparatorChar)), executable: false)));
    foreach (var (path, content) in Files(manifests, "manifests/overlay/", _ => true))
        Write(path, content);
    Write("SHA256SUMS", Encoding.ASCII.GetBytes(string.Concat(sums.Select(sum => $"{sum.Value}  {sum.Key}\n"))));
    return 0;
}
catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
{
    Console.Error.WriteLine($"package: {e.Message}");
    return 1;
}

KeyValuePair<string, byte[]> Program(string folder, string name) => KeyValuePair.Create(name, File.ReadAllBytes(Path.Combine(folder, name)));

void WriteImage(params KeyValuePair<string, byte[]>[][] images)
{
    var (architectures, content) = OciArchive.Of($"localhost/overlay:{version}", version, images);
    Write($"overlay-{version}-linux{(architectures is [var architecture] ? $"-{architecture}" : "")}.oci.tar", content);
}

// What overlay itself says belongs to it: asked here, in its own words, as it runs on the machine that makes the package.
List<KeyValuePair<string, byte[]>> Documents()
{
    var folder = Directory.CreateTempSubdirectory("overlay-documents-").FullName;
    try
    {
        var exitCode = (int)typeof(Overlay.Dataplane.Desired.OverlayConfiguration).Assembly.EntryPoint!.Invoke(null, [new[] { "documents", folder }])!;
        return exitCode == 0 ? [.. Files(folder, "", _ => true)] : throw new InvalidDataException("overlay documents failed; it has said why.");
    }
    finally
    {
        Directory.Delete(folder, recursive: true);
    }
}

void WriteRelease(KeyValuePair<string, byte[]>[] ofOne, List<KeyValuePair<string, byte[]>> documents)
{
    var architecture = ElfProgram.ArchitectureOf(ofOne[0].Key, ofOne[0].Value);
    var name = $"overlay-{version}-linux-{architecture}";
    string[] projects = ["Dataplane", "CniShim"], texts = ["README.md", "CHANGELOG.md", "LICENSE"];
    var assets = projects.Select(project => File.ReadAllText(Path.Combine(repository, project, "obj", "project.assets.json"))).ToList();
    var bill = SoftwareBill.Of(version, architecture == "amd64" ? "linux-x64" : $"linux-{architecture}", assets, ofOne[0].Value);
    Write($"{name}.cdx.json", bill);
    Write($"{name}.tar.gz", ReleaseArchive.Of(name, ofOne,
    [
        .. documents,
        KeyValuePair.Create("overlay.cdx.json", bill),
        .. texts.Select(file => (Name: file, Path: Path.Combine(repository, file))).Where(file => File.Exists(file.Path)).Select(file => KeyValuePair.Create(file.Name, File.ReadAllBytes(file.Path))),
    ]));
}

IEnumerable<KeyValuePair<string, byte[]>> Files(string folder, string prefix, Func<string, bool> where) =>
    from file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Where(@where).Order(StringComparer.Ordinal)
    select KeyValuePair.Create(prefix + Path.GetRelativePath(folder, file).Replace('\\', '/'), File.ReadAllBytes(file));

void Write(string name, byte[] content)
{
    var path = Path.Combine(output, name);
    Directory.CreateDirectory(Path.GetDirectoryName(path)!);
    File.WriteAllBytes(path, content);
    sums[name] = Convert.ToHexStringLower(SHA256.HashData(content));
    Console.WriteLine($"{path} {content.Length / 1048576.0:0.0} MB");
}
