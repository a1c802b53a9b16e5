using System.Text.Json;
using Overlay.Dataplane.Capture;
using Overlay.Dataplane.Operator;
using Overlay.PolicyEngine.Model;
using SharpPcap;
using SharpPcap.LibPcap;

namespace Overlay.Tests.Dataplane.Capture;

/// <summary>What is shown of packets, which are, where they are looked for, and how they are written.</summary>
public class CaptureCoreTests
{
    private static readonly Dictionary<string, NamedAddress> Known = new NamedAddress[]
    {
        new("10.42.1.2", "shop/web", "node-1"), new("10.42.2.3", "shop/db", "node-2"), new("10.42.2.4", "ops/prom", "node-2"), new("192.0.2.1", null, "node-1"), new("192.0.2.2", null, "node-2"),
    }.ToDictionary(name => name.Address);

    private static NamedAddress Name(InetAddress address) => Known.GetValueOrDefault(address.ToString()) ?? new(address.ToString(), null, null);

    private static string Line(byte[] bytes, bool isOutgoing, string device = "overlay-vxlan", bool withDevice = false) =>
        PacketText.Line(NamedPacket.Of(Packets.Frame(bytes, isOutgoing, device), Packets.Read(bytes), Name), TimeZoneInfo.Utc, withDevice);

    [Test]
    public void A_line_has_time_direction_names_and_what_is_known()
    {
        Assert.That(Line(Packets.Tcp("10.42.1.2", 43512, "10.42.2.3", 5432, tcp => tcp.Synchronize = true).Bytes, true), Is.EqualTo("00:00:00.000000 out shop/web:43512 → shop/db:5432 tcp [S] 40"));
        Assert.That(Line(Packets.Udp("192.0.2.2", 1, "10.43.0.10", 53).Bytes, false, withDevice: true), Is.EqualTo("00:00:00.000000 overlay-vxlan in  node-2:1 → 10.43.0.10:53 udp 28"));
        Assert.That(Line(Packets.Udp("fd00::9", 1, "fd00::a", 2).Bytes, false), Is.EqualTo("00:00:00.000000 in  [fd00::9]:1 → [fd00::a]:2 udp 48"));
        Assert.That(
            Line(Packets.Vxlan("192.0.2.1", "192.0.2.2", 4096, Packets.Error("192.0.2.1", "10.42.2.3", 3, 3, 0, Packets.Udp("10.42.2.3", 9, "10.42.1.2", 53).Bytes)).Bytes, true),
            Is.EqualTo("00:00:00.000000 out node-1 → shop/db icmp 56, port unreachable, about shop/db:9 → shop/web:53 udp 28 (vxlan 4096, node-1 → node-2)"));
    }

    [Test]
    public void At_a_pods_interface_directions_are_the_pods()
    {
        var bytes = Packets.Echo("10.42.1.2", "10.42.2.3", 1).Bytes;
        Assert.That(Line(bytes, isOutgoing: false, "ovl0123456789a"), Does.Contain(" out shop/web → "), "what comes out of the pod");
        Assert.That(Line(bytes, isOutgoing: true, "ovl0123456789a"), Does.Contain(" in  shop/web → "));
    }

    [Test]
    public void Json_has_the_same_on_one_line()
    {
        var bytes = Packets.Vxlan("192.0.2.1", "192.0.2.2", 4096, Packets.Tcp("10.42.1.2", 43512, "10.42.2.3", 5432, tcp => tcp.Reset = true)).Bytes;
        var text = NamedPacket.Of(Packets.Frame(bytes, true, time: 1_700_000_000_123_456_700), Packets.Read(bytes), Name).ToJson();
        Assert.That(text, Does.Not.Contain("\n"));
        using var json = JsonDocument.Parse(text);
        var root = json.RootElement;
        Assert.That(root.GetProperty("time").GetDateTime(), Is.EqualTo(DateTime.UnixEpoch.AddTicks(17_000_000_001_234_567)));
        Assert.That(root.GetProperty("source").ToString(), Is.EqualTo("""{"address":"10.42.1.2","port":43512,"pod":"shop/web","node":"node-1"}"""));
        Assert.That(root.GetProperty("tunnels")[0].ToString(), Is.EqualTo("""{"encapsulation":"vxlan","vni":4096,"source":{"address":"192.0.2.1","node":"node-1"},"destination":{"address":"192.0.2.2","node":"node-2"}}"""));
        Assert.That((root.GetProperty("flags").GetString(), root.GetProperty("direction").GetString(), root.TryGetProperty("quoted", out _)), Is.EqualTo(("R", "out", false)));
    }

    [Test]
    public void A_filter_looks_at_both_ends_and_into_errors()
    {
        bool Passes(PacketFilter filter, PacketDotNet.IPPacket packet) => filter.Passes(Packets.Read(packet), Name);
        var query = Packets.Tcp("10.42.1.2", 43512, "10.42.2.3", 5432);
        var error = Packets.Error("192.0.2.2", "10.42.1.2", 3, 4, 1400, query.Bytes);
        foreach (var packet in (PacketDotNet.IPPacket[])[query, Packets.Tcp("10.42.2.3", 5432, "10.42.1.2", 43512), error])
        {
            Assert.That(Passes(new() { Protocol = "tcp", Port = 5432, Namespace = "shop", Addresses = new HashSet<InetAddress> { InetAddress.Parse("10.42.2.3") } }, packet));
            Assert.That(Passes(new() { Protocol = "udp" }, packet), Is.False);
            Assert.That(Passes(new() { Port = 80 }, packet), Is.False);
            Assert.That(Passes(new() { Namespace = "sho" }, packet), Is.False);
            Assert.That(Passes(new() { Addresses = new HashSet<InetAddress> { InetAddress.Parse("10.42.2.4") } }, packet), Is.False);
        }

        Assert.That(Passes(new() { Protocol = "icmp" }, error));
        Assert.That(Passes(new() { Protocol = "tcp", Namespace = "ops" }, Packets.Error("10.42.2.4", "10.42.1.2", 3, 3, 0, query.Bytes)), Is.False, "all must be true of the same packet");
    }

    [Test]
    public void A_place_is_chosen()
    {
        FoundPod here = new("shop/web", "node-1", ["10.42.1.2"], ["ovl1"], []), there = new("shop/db", "node-2", ["10.42.2.3"], [], ["overlay-vxlan"]);
        NameReport report = new([], ["overlay-vxlan"], ["eth0"], 4789, null, null);
        (string, string) Choose(NameReport? said, FoundPod? pod, string[] interfaces, bool underlay, params string[] existing)
        {
            var place = CapturePlace.Choose(said, pod, interfaces, underlay, existing.Contains);
            return (string.Join(',', place.Devices), place.Addresses is null ? "all" : string.Join(',', place.Addresses));
        }

        Assert.That(Choose(report, null, [], false, "overlay-vxlan", "overlay-sit", "eth0"), Is.EqualTo(("overlay-sit,overlay-vxlan", "all")));
        Assert.That(Choose(report, here, [], false), Is.EqualTo(("ovl1", "all")), "its own interface has nobody else's packets");
        Assert.That(Choose(report, there, [], false), Is.EqualTo(("overlay-vxlan", "10.42.2.3")));
        Assert.That(Choose(report, here, [], true), Is.EqualTo(("eth0", "10.42.1.2")));
        Assert.That(Choose(null, null, ["eth1", "eth1"], false), Is.EqualTo(("eth1", "all")));
        Assert.That(() => Choose(null, null, [], true), Throws.TypeOf<CaptureException>().With.Message.Contains("--interface"));
        Assert.That(() => Choose(report, null, [], false), Throws.TypeOf<CaptureException>().With.Message.Contains("--underlay"));
    }

    [Test]
    public async Task An_address_is_asked_for_once_and_a_failing_agent_told_of_once()
    {
        var asked = new List<string>();
        var told = new List<string>();
        var isThere = true;
        var names = new AddressNames(
            (addresses, _) =>
            {
                if (!isThere)
                    throw new OperatorException("No agent answers.");
                asked.AddRange(addresses);
                return Task.FromResult<IReadOnlyList<NamedAddress>>([.. addresses.Where(Known.ContainsKey).Select(address => Known[address])]);
            },
            told.Add);
        InetAddress[] seen = [InetAddress.Parse("10.42.1.2"), InetAddress.Parse("198.51.100.1"), InetAddress.Parse("10.42.1.2")];
        await names.LearnAsync(seen);
        await names.LearnAsync(seen);
        Assert.That(asked, Is.EqualTo(new[] { "10.42.1.2", "198.51.100.1" }));
        Assert.That((names.Of(seen[0]).Pod, names.Of(seen[1]).Pod), Is.EqualTo(("shop/web", (string?)null)));
        isThere = false;
        await names.LearnAsync([InetAddress.Parse("10.42.2.3")]);
        await names.LearnAsync([InetAddress.Parse("10.42.2.4")]);
        Assert.That(told, Has.Count.EqualTo(1));
        Assert.That(told[0], Does.StartWith("No agent answers. "));
        Assert.That((names.Of(seen[0]).Pod, names.Of(InetAddress.Parse("10.42.2.3")).Pod), Is.EqualTo(("shop/web", (string?)null)), "what was known is known");
    }

    // Read by libpcap.
    [Test]
    public void A_file_is_read_by_another_library()
    {
        var path = Path.GetTempFileName();
        try
        {
            var bytes = Packets.Tcp("10.42.1.2", 43512, "10.42.2.3", 5432, payload: 40).Bytes;
            var frame = Packets.Frame(bytes, isOutgoing: true, time: 1_700_000_000_123_456_789);
            File.WriteAllBytes(path, [.. PcapFile.Header(262_144), .. PcapFile.Record(frame), .. PcapFile.Record(frame with { Bytes = bytes[..64] })]);
            using var reader = Open(path)!;
            Assert.That((int)reader!.LinkType, Is.EqualTo(PcapFile.LinkType));
            foreach (var captured in (int[])[bytes.Length, 64])
            {
                Assert.That(reader.GetNextPacket(out var record), Is.EqualTo(GetPacketStatus.PacketRead));
                byte[] cooked = [8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
                Assert.That(record.Data.ToArray(), Is.EqualTo((byte[])[.. cooked, .. bytes[..captured]]));
                Assert.That((record.Header.Timeval.Date - DateTime.UnixEpoch.AddTicks(17_000_000_001_234_567)).Duration(), Is.LessThan(TimeSpan.FromMicroseconds(1)));
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Test]
    public void A_filter_of_tcpdumps_lets_pass_what_it_says()
    {
        using var reader = Open(null);
        var frame = Packets.Frame(Packets.Tcp("10.42.1.2", 43512, "10.42.2.3", 5432).Bytes, isOutgoing: true);
        foreach (var (text, expected) in ((string, bool)[])[("tcp port 5432", true), ("udp", false), ("outbound", true), ("inbound", false), ("src host 10.42.1.2 and tcp[tcpflags] & tcp-syn == 0", true), ("ip6", false)])
        {
            using var expression = PcapExpression.Compile(text, 262_144);
            Assert.That(expression.Matches(frame), Is.EqualTo(expected), text);
        }

        Assert.That(() => PcapExpression.Compile("tcp prt 1", 262_144), Throws.TypeOf<CaptureException>().With.Message.StartsWith("--filter 'tcp prt 1': ").And.Message.Contains("pcap-filter(7)"));
    }

    // Null: only whether there is libpcap.
    private static CaptureFileReaderDevice? Open(string? path)
    {
        try
        {
            _ = Pcap.LibpcapVersion;
            if (path is null)
                return null;
            var reader = new CaptureFileReaderDevice(path);
            reader.Open();
            return reader;
        }
        catch (Exception e) when (e is DllNotFoundException or TypeInitializationException { InnerException: DllNotFoundException })
        {
            Assert.Ignore("Needs libpcap: install libpcap0.8.");
            throw;
        }
    }
}
