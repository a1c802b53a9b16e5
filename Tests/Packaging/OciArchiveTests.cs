using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Overlay.Packaging;

namespace Overlay.Tests.Packaging;

/// <summary>The container image: a small program in place of ours shows that the archive is right, the real one, when it was made, that it runs.</summary>
public class OciArchiveTests
{
    private const string Name = "localhost/overlay:1.2.3";
    private const string Emulator = "/usr/bin/qemu-aarch64-static";

    private static readonly string Package = Path.Combine(SourceTree.Root, "artifacts", "package");

    private static readonly Lazy<KeyValuePair<string, byte[]>[]> Programs = new(() => [new("overlay", Compile("-static", "overlay 1.2.3")), new("overlay-cni", Compile("-static", "plugin"))]);

    [Test]
    public void Two_archives_of_the_same_programs_are_the_same_bytes()
    {
        var first = OciArchive.Of(Name, "1.2.3", Programs.Value).Content;
        var second = OciArchive.Of(Name, "1.2.3", Programs.Value).Content;
        Assert.That(second, Is.EqualTo(first));
    }

    // image-spec: image-layout.md, manifest.md, config.md; the annotation is the one containerd takes the name from.
    [Test]
    public void Every_digest_is_that_of_what_it_names_and_nothing_else_is_there()
    {
        var files = Untar(OciArchive.Of(Name, "1.2.3", Programs.Value).Content);
        Assert.That(Encoding.UTF8.GetString(files["oci-layout"]), Is.EqualTo("""{"imageLayoutVersion":"1.0.0"}"""));
        var described = JsonDocument.Parse(files["index.json"]).RootElement.GetProperty("manifests").EnumerateArray().Single();
        Assert.That(described.GetProperty("annotations").GetProperty("io.containerd.image.name").GetString(), Is.EqualTo(Name));
        Assert.That(described.GetProperty("platform").GetProperty("os").GetString(), Is.EqualTo("linux"));
        var manifest = JsonDocument.Parse(Blob(files, described)).RootElement;
        var config = JsonDocument.Parse(Blob(files, manifest.GetProperty("config"))).RootElement;
        var layer = Gunzip(Blob(files, manifest.GetProperty("layers").EnumerateArray().Single()));
        Assert.That(config.GetProperty("rootfs").GetProperty("diff_ids").EnumerateArray().Single().GetString(), Is.EqualTo(Digest(layer)));
        Assert.That(files.Keys.Where(name => !name.EndsWith('/')), Has.Exactly(5).Items, "oci-layout, index.json, manifest, config, layer");
    }

    [Test]
    public void The_layer_holds_the_two_programs_and_nothing_else()
    {
        using var tar = new TarReader(new MemoryStream(Layer(OciArchive.Of(Name, "1.2.3", Programs.Value).Content)));
        var entries = new List<string>();
        while (tar.GetNextEntry() is { } entry)
            entries.Add($"{entry.EntryType} {entry.Name} {Convert.ToString((int)entry.Mode, 8)} {entry.Uid}:{entry.Gid} {entry.ModificationTime.ToUnixTimeSeconds()}");
        Assert.That(entries, Is.EqualTo(new[] { "RegularFile overlay 755 0:0 0", "RegularFile overlay-cni 755 0:0 0" }));
    }

    [Test]
    public void Its_entry_point_runs_where_nothing_else_is() => Assert.That(RunAlone(OciArchive.Of(Name, "1.2.3", Programs.Value).Content, "overlay"), Is.EqualTo("overlay 1.2.3"));

    [Test]
    public void A_program_that_needs_libraries_is_refused() => Assert.That(
        () => OciArchive.Of(Name, "1.2.3", [[new("overlay", Compile("-O1", "overlay"))]]),
        Throws.TypeOf<InvalidDataException>().With.Message.EqualTo("overlay is linked dynamically, and the image holds no libraries; publish it with -c Static."));

    [TestCase("")]
    [TestCase("#!/bin/sh\necho this is a text that is longer than sixty-four bytes, as a header would be\n")]
    public void What_is_no_program_is_refused(string text) =>
        Assert.That(() => OciArchive.Of(Name, "1.2.3", [[new("overlay", Encoding.UTF8.GetBytes(text))]]), Throws.TypeOf<InvalidDataException>());

    // Paths of folders, and names that sort differently in different languages.
    [Test]
    public void A_tar_does_not_depend_on_the_order_of_its_files()
    {
        KeyValuePair<string, byte[]>[] files = [new("b/a", [1]), new("B", [2]), new("b.c", [3]), new("b/c/d", [])];
        var tar = ReproducibleTar.Of(files, executable: false);
        Assert.That(ReproducibleTar.Of(files.Reverse(), executable: false), Is.EqualTo(tar));
        Assert.That(Untar(tar).Keys, Is.EqualTo(new[] { "B", "b.c", "b/", "b/a", "b/c/", "b/c/d" }));
    }

    // image-spec, image-index.md: containerd and registries give each node the manifest of its platform.
    [Test]
    public void An_archive_of_two_architectures_names_one_index_with_a_manifest_for_each()
    {
        KeyValuePair<string, byte[]>[] other = [.. Programs.Value.Select(program => KeyValuePair.Create(program.Key, ForArm64(program.Value)))];
        var (architectures, archive) = OciArchive.Of(Name, "1.2.3", Programs.Value, other);
        Assert.That(architectures, Is.EqualTo(new[] { "amd64", "arm64" }));
        var files = Untar(archive);
        var named = JsonDocument.Parse(files["index.json"]).RootElement.GetProperty("manifests").EnumerateArray().Single();
        Assert.That(named.GetProperty("annotations").GetProperty("io.containerd.image.name").GetString(), Is.EqualTo(Name));
        var manifests = JsonDocument.Parse(Blob(files, named)).RootElement.GetProperty("manifests").EnumerateArray().ToList();
        Assert.That(manifests.Select(manifest => $"{manifest.GetProperty("platform")}"), Is.EqualTo(new[] { """{"architecture":"amd64","os":"linux"}""", """{"architecture":"arm64","os":"linux","variant":"v8"}""" }));
        foreach (var manifest in manifests)
            Assert.That(JsonDocument.Parse(Blob(files, JsonDocument.Parse(Blob(files, manifest)).RootElement.GetProperty("config"))).RootElement.GetProperty("architecture").GetString(), Is.EqualTo(manifest.GetProperty("platform").GetProperty("architecture").GetString()));
    }

    [Test]
    public void Two_images_of_one_architecture_are_refused() =>
        Assert.That(() => OciArchive.Of(Name, "1.2.3", Programs.Value, Programs.Value), Throws.TypeOf<InvalidDataException>().With.Message.EqualTo("Two images of one architecture: amd64, amd64."));

    [Test]
    public void Programs_of_two_architectures_make_no_image() => Assert.That(
        () => OciArchive.Of(Name, "1.2.3", [Programs.Value[0], KeyValuePair.Create("overlay-cni", ForArm64(Programs.Value[1].Value))]),
        Throws.TypeOf<InvalidDataException>().With.Message.EqualTo("Programs of different architectures: amd64, arm64."));

    [Test]
    public void The_sums_are_those_of_every_file_of_the_package()
    {
        RealImage();
        var sums = File.ReadAllLines(Path.Combine(Package, "SHA256SUMS")).ToDictionary(line => line[66..], line => line[..66]);
        var files = Directory.EnumerateFiles(Package, "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(Package, file)).Where(file => file != "SHA256SUMS");
        Assert.That(sums.Keys, Is.EquivalentTo(files));
        foreach (var (file, sum) in sums)
            Assert.That(sum, Is.EqualTo($"{Digest(File.ReadAllBytes(Path.Combine(Package, file)))["sha256:".Length..]}  "), file);
    }

    [TestCase("amd64")]
    [TestCase("arm64")]
    public void The_real_image_runs_where_nothing_else_is(string architecture)
    {
        var image = File.ReadAllBytes(RealImage(architecture));
        var version = Overlay.Dataplane.Cli.Version.Text;
        Assert.That(RunAlone(image, "overlay", "--version"), Is.EqualTo(version));
        Assert.That(RunAlone(image, "overlay-cni", "--version"), Does.StartWith($"CNI plugin overlay-cni {version}\n"));
        Assert.That(RunAlone(image, "overlay", "install", "--cni-bin-dir", "/opt/cni/bin"), Is.EqualTo("/opt/cni/bin/overlay-cni written\n/opt/cni/bin/loopback linked to overlay-cni"));
    }

    /// <summary>The archive that was made of the product for one architecture, or the test is skipped.</summary>
    /// <param name="architecture">amd64 or arm64; this machine's when null.</param>
    internal static string RealImage(string? architecture = null) => Archive("-" + (architecture ?? (RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64" : "amd64")));

    /// <summary>The archive with all architectures, or the test is skipped.</summary>
    internal static string RealImages() => Archive("");

    private static string Archive(string suffix)
    {
        var archive = Directory.Exists(Package) ? Directory.EnumerateFiles(Package, $"*-linux{suffix}.oci.tar").SingleOrDefault() : null;
        if (archive is null)
            Assert.Ignore($"Needs the archive linux{suffix}.oci.tar in artifacts/package: ./build.ps1 package makes it; arm64 on another machine where clang, lld and the libraries are.");
        return archive!;
    }

    // What the header of a program says of its machine (elf(5), e_machine: EM_AARCH64), changed; it would not run.
    private static byte[] ForArm64(byte[] program) => [.. program[..18], 183, 0, .. program[20..]];

    /// <summary>Runs a program of the image's layer with that layer as its whole file system; one for another machine by way of an emulator beside it.</summary>
    private static string RunAlone(byte[] image, string program, params string[] arguments)
    {
        if (!OperatingSystem.IsLinux() || !Environment.IsPrivilegedProcess)
            Assert.Ignore("Needs root on Linux: it changes the root of a process.");
        var folder = Directory.CreateTempSubdirectory("overlay-image-");
        try
        {
            using (var layer = new MemoryStream(Layer(image)))
                TarFile.ExtractToDirectory(layer, folder.FullName, overwriteFiles: false);
            string[] emulator = [];
            if (ElfProgram.ArchitectureOf(program, File.ReadAllBytes(Path.Combine(folder.FullName, program))) == "arm64" && RuntimeInformation.ProcessArchitecture != Architecture.Arm64)
            {
                if (!File.Exists(Emulator))
                    Assert.Ignore($"Needs {Emulator} (Debian's package qemu-user-static) to run programs for arm64 on this machine.");
                File.Copy(Emulator, Path.Combine(folder.FullName, "emulator"));
                emulator = ["/emulator"];
            }

            using var process = Process.Start(new ProcessStartInfo("chroot", [folder.FullName, .. emulator, "/" + program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.That(process.ExitCode, Is.Zero, error.Result);
            return output.TrimEnd();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static byte[] Layer(byte[] image)
    {
        var files = Untar(image);
        var manifest = JsonDocument.Parse(Blob(files, JsonDocument.Parse(files["index.json"]).RootElement.GetProperty("manifests")[0])).RootElement;
        return Gunzip(Blob(files, manifest.GetProperty("layers")[0]));
    }

    private static byte[] Blob(Dictionary<string, byte[]> files, JsonElement descriptor)
    {
        var digest = descriptor.GetProperty("digest").GetString()!;
        var content = files["blobs/" + digest.Replace(':', '/')];
        Assert.That((Digest(content), content.Length), Is.EqualTo((digest, descriptor.GetProperty("size").GetInt32())));
        return content;
    }

    private static string Digest(byte[] content) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(content));

    private static byte[] Gunzip(byte[] content)
    {
        using var gzip = new GZipStream(new MemoryStream(content), CompressionMode.Decompress);
        using var plain = new MemoryStream();
        gzip.CopyTo(plain);
        return plain.ToArray();
    }

    private static Dictionary<string, byte[]> Untar(byte[] content)
    {
        var files = new Dictionary<string, byte[]>();
        using var tar = new TarReader(new MemoryStream(content));
        while (tar.GetNextEntry() is { } entry)
        {
            using var data = new MemoryStream();
            entry.DataStream?.CopyTo(data);
            files.Add(entry.Name, data.ToArray());
        }

        return files;
    }

    private static byte[] Compile(string flag, string says)
    {
        if (!OperatingSystem.IsLinux())
            Assert.Ignore("Needs gcc, for Linux.");
        var folder = Directory.CreateTempSubdirectory("overlay-program-");
        try
        {
            var (source, program) = (Path.Combine(folder.FullName, "p.c"), Path.Combine(folder.FullName, "p"));
            File.WriteAllText(source, $"#include <stdio.h>\nint main(void) {{ puts(\"{says}\"); return 0; }}\n");
            using var gcc = Process.Start("gcc", [flag, "-o", program, source]);
            gcc.WaitForExit();
            Assert.That(gcc.ExitCode, Is.Zero);
            return File.ReadAllBytes(program);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
