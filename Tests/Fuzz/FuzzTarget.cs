extern alias shim;

using System.Text;
using System.Text.Json;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Datastore.Manifests;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Conntrack;
using Overlay.Dataplane.Yaml;
using Overlay.Tests.Dataplane.Netlink;
using shim::Overlay.CniShim.Ipam;
using shim::Overlay.CniShim.Spec;
using AgentLine = Overlay.CniShim.Protocol.AgentLine;

namespace Overlay.Tests.Fuzz;

/// <summary>A reader of bytes that somebody else wrote.</summary>
/// <param name="Name">Of its folder in Corpus.</param>
/// <param name="Read">Reads, and says what came of it; exceptions that are documented are an outcome too, any other is a mistake.</param>
/// <param name="Corpus">Where it begins.</param>
internal sealed record FuzzTarget(string Name, Func<byte[], string> Read, Func<IReadOnlyList<byte[]>> Corpus)
{
    private static readonly string Folder = Path.Combine(SourceTree.Root, "Tests", "Fuzz", "Corpus");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        OfFolder("yaml", "manifest", ReadYaml),
        OfFolder("manifest", "manifest", ReadManifest),
        OfFolder("configuration", "configuration", input => Outcome(ConfigurationReader.Read("f.yaml", Encoding.UTF8.GetString(input), new Dictionary<string, string>(), new Dictionary<string, string>()), reading => $"{reading.Configuration} {string.Join('\n', reading.Errors)}")),
        OfFolder("status", "status", input => PodStatus.Parse(input, out var reason) is { } status ? status.ToString() : Sentence(reason)),
        OfFolder("attachment", "attachment", ReadAttachment),
        OfFolder("allocation", "allocation", ReadAllocation),
        OfFolder("request", "request", input => Refusable<JsonException>(() => AgentLine.ReadRequest(input)) + Refusable<JsonException>(() => AgentLine.ReadResponse(input))),
        OfFolder("network-configuration", "network-configuration", input => Refusable<JsonException>(() => Refusable<CniException>(() => NetworkConfiguration.Read(new MemoryStream(input), default).Name))),
        OfGoldens("nftables", payload => NftablesDecodingTests.ReadEverything(payload)),
        OfGoldens("rtnetlink", payload => RtnetlinkReplyTests.ReadAnything(payload)),
        OfGoldens("conntrack", payload => Refusable<NetlinkFormatException>(() => ConntrackMessage.Parse(new NetlinkMessage(256, 0, 1, payload)))),
    ];

    public override string ToString() => Name;

    private static FuzzTarget OfFolder(string name, string folder, Func<byte[], string> read) =>
        new(name, read, () => [.. Directory.GetFiles(Path.Combine(Folder, folder)).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)]);

    // What the kernel says, without the header of the first message.
    private static FuzzTarget OfGoldens(string folder, Action<byte[]> read) => new(
        folder,
        payload =>
        {
            read(payload);
            return "";
        },
        () => [.. Golden.Names(folder, "*").Where(name => !name.EndsWith("/expressions", StringComparison.Ordinal)).Select(name => Golden.Read(name).Bytes[16..])]);

    private static string ReadYaml(byte[] input) => string.Join('\n', YamlText.Read(Encoding.UTF8.GetString(input)).Select(document => $"{document.Line}: {document.Error ?? document.Root!.Noun}"));

    private static string ReadManifest(byte[] input)
    {
        var text = Encoding.UTF8.GetString(input);
        var file = FromManifest.Read("f.yaml", text);
        foreach (var rejection in file.Rejections)
        {
            Sentence(rejection.Reason);
            Assert.That(rejection.Line, Is.InRange(1, text.Count(c => c == '\n') + 2));
        }

        return $"{string.Join('\n', file.Found)}\n{string.Join('\n', file.Rejections)}\n{string.Join('\n', file.Skipped)}\n{file.IsBroken}";
    }

    private static string ReadAttachment(byte[] input) => InFolder(folder =>
    {
        Directory.CreateDirectory(Path.Combine(folder, "attachments"));
        File.WriteAllBytes(Path.Combine(folder, "attachments", "c-eth0.json"), input);
        var found = new AttachmentFolder(folder).ReadAll(out var broken);
        return string.Join('\n', found) + string.Join('\n', broken.Select(Sentence)).Replace(folder, "", StringComparison.Ordinal);
    });

    private static string ReadAllocation(byte[] input) => InFolder(folder =>
    {
        var configuration = Encoding.UTF8.GetBytes($$$"""{"cniVersion":"1.1.0","name":"n","ipam":{"dataDir":"{{{folder}}}"}}""");
        var allocations = AllocationFolder.Of(NetworkConfiguration.Read(new MemoryStream(configuration), default));
        Directory.CreateDirectory(Path.Combine(folder, "n"));
        File.WriteAllBytes(Path.Combine(folder, "n", "10.42.1.5"), input);
        File.WriteAllBytes(Path.Combine(folder, "n", "last_reserved_ip.0"), input);
        return $"{string.Join('\n', allocations.ReadAll([]))} {allocations.LastReserved(0)}";
    });

    private static string InFolder(Func<string, string> read)
    {
        var folder = Directory.CreateTempSubdirectory("overlay-fuzz-").FullName;
        try
        {
            return read(folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Outcome<T>(T read, Func<T, string> print) => print(read);

    private static string Refusable<T>(Func<object> read)
        where T : Exception
    {
        try
        {
            return read().ToString()!;
        }
        catch (T refused)
        {
            return refused.Message;
        }
    }

    private static string Sentence(string reason)
    {
        Assert.That(reason, Is.Not.Empty.And.EndsWith(".").Or.EndsWith("?"));
        return reason;
    }
}
