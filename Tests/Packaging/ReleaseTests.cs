using System.Text;
using System.Text.Json;
using Overlay.Packaging;

namespace Overlay.Tests.Packaging;

/// <summary>The bill of materials, and the archive that people download.</summary>
public class ReleaseTests
{
    // What a restore writes, cut down.
    private const string Assets = """
        {
          "version": 3,
          "targets": { "net10.0": {
            "Serilog/4.4.0": { "type": "package", "runtime": { "lib/net10.0/Serilog.dll": {} } },
            "Serilog.Sinks.Console/6.1.1": { "type": "package", "dependencies": { "Serilog": "4.0.0" }, "runtime": { "lib/net8.0/Serilog.Sinks.Console.dll": {} } },
            "An.Analyzer/1.0.0": { "type": "package" },
            "Only.Meta/1.0.0": { "type": "package", "runtime": { "lib/net8.0/_._": {} } },
            "Overlay.PolicyEngine/0.1.0": { "type": "project", "runtime": { "bin/placeholder/Overlay.PolicyEngine.dll": {} } }
          } },
          "libraries": { "Serilog/4.4.0": { "sha512": "AAEC" }, "Serilog.Sinks.Console/6.1.1": { "sha512": "//8=" }, "An.Analyzer/1.0.0": {}, "Only.Meta/1.0.0": {} },
          "project": { "frameworks": { "net10.0": { "downloadDependencies": [
            { "name": "Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64", "version": "[10.0.12, 10.0.12]" } ] } } }
        }
        """;

    private static readonly byte[] Program = Encoding.ASCII.GetBytes("\0\0OpenSSL 3.0.17 1 Jul 2025\0GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n\0");

    [Test]
    public void The_bill_names_what_is_in_the_program_and_nothing_else()
    {
        var bill = JsonDocument.Parse(SoftwareBill.Of("1.2.3", "linux-arm64", [Assets, Assets], Program)).RootElement;
        Assert.That((bill.GetProperty("bomFormat").GetString(), bill.GetProperty("specVersion").GetString()), Is.EqualTo(("CycloneDX", "1.5")));
        Assert.That(bill.GetProperty("metadata").GetProperty("component").GetProperty("version").GetString(), Is.EqualTo("1.2.3"));
        Assert.That(bill.GetProperty("components").EnumerateArray().Select(component => component.GetProperty("purl").GetString()), Is.EqualTo(new[]
        {
            "pkg:generic/glibc@2.36", "pkg:generic/openssl@3.0.17", "pkg:nuget/Microsoft.NETCore.App.Runtime.NativeAOT.linux-arm64@10.0.12", "pkg:nuget/Serilog.Sinks.Console@6.1.1", "pkg:nuget/Serilog@4.4.0",
        }));
        Assert.That(bill.GetProperty("components").EnumerateArray().Last().GetProperty("hashes")[0].GetProperty("content").GetString(), Is.EqualTo("000102"));
    }

    // CycloneDX 1.5: every ref and every entry of dependsOn is a bom-ref of the document.
    [Test]
    public void Every_dependency_leads_to_a_component()
    {
        var bill = JsonDocument.Parse(SoftwareBill.Of("1.2.3", "linux-x64", [Assets], Program)).RootElement;
        var known = bill.GetProperty("components").EnumerateArray().Append(bill.GetProperty("metadata").GetProperty("component")).Select(component => component.GetProperty("bom-ref").GetString()).ToList();
        var named = bill.GetProperty("dependencies").EnumerateArray().SelectMany(entry => entry.GetProperty("dependsOn").EnumerateArray().Append(entry.GetProperty("ref"))).Select(reference => reference.GetString());
        Assert.That(known, Is.Unique.And.SupersetOf(named.Distinct()));
        Assert.That(bill.GetProperty("dependencies").EnumerateArray().Single(entry => entry.GetProperty("ref").GetString() == "pkg:nuget/Serilog.Sinks.Console@6.1.1").GetProperty("dependsOn")[0].GetString(), Is.EqualTo("pkg:nuget/Serilog@4.4.0"));
    }

    [Test]
    public void A_restore_of_no_published_program_is_refused() => Assert.That(
        () => SoftwareBill.Of("1.2.3", "linux-x64", [Assets.Replace("NativeAOT", "Other")], Program),
        Throws.TypeOf<InvalidDataException>().With.Message.Contains("NativeAOT"));

    [Test]
    public void The_archive_has_one_folder_whose_programs_alone_can_be_executed()
    {
        KeyValuePair<string, byte[]>[] programs = [new("overlay", [1]), new("overlay-cni", [2])];
        KeyValuePair<string, byte[]>[] others = [new("share/man/man8/overlay.8", [3]), new("README.md", [4])];
        var archive = ReleaseArchive.Of("overlay-1.2.3-linux-amd64", programs, others);
        Assert.That(ReleaseArchive.Of("overlay-1.2.3-linux-amd64", [.. programs.Reverse()], others.Reverse()), Is.EqualTo(archive), "whatever the order");
        using var plain = new System.IO.Compression.GZipStream(new MemoryStream(archive), System.IO.Compression.CompressionMode.Decompress);
        using var tar = new System.Formats.Tar.TarReader(plain);
        var entries = new List<string>();
        while (tar.GetNextEntry() is { } entry)
            entries.Add($"{entry.Name} {Convert.ToString((int)entry.Mode, 8)} {entry.ModificationTime.ToUnixTimeSeconds()}");
        const string Folder = "overlay-1.2.3-linux-amd64";
        Assert.That(entries, Is.EqualTo(new[]
        {
            $"{Folder}/ 755 0", $"{Folder}/README.md 644 0", $"{Folder}/overlay 755 0", $"{Folder}/overlay-cni 755 0", $"{Folder}/share/ 755 0", $"{Folder}/share/man/ 755 0", $"{Folder}/share/man/man8/ 755 0",
            $"{Folder}/share/man/man8/overlay.8 644 0",
        }));
    }
}
