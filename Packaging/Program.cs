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
