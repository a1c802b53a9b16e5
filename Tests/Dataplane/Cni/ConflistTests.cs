using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Cni;

public class ConflistTests
{
    private static readonly Conflist DualStack = new("/run/overlay/agent.sock", "/var/lib/cni/networks", [Cidr.Parse("10.42.1.0/24"), Cidr.Parse("fd00:42:1::/64")]);
    private string folder = "";

    [SetUp]
    public void MakeFolder() => folder = Directory.CreateTempSubdirectory("overlay-cni-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    [Test]
    public void It_names_the_plugin_the_socket_and_one_range_set_per_family() => Assert.That(DualStack.ToJson(), Is.EqualTo(
        """
        {
          "cniVersion": "1.0.0",
          "cniVersions": [
            "1.0.0",
            "1.1.0"
          ],
          "name": "overlay",
          "plugins": [
            {
              "type": "overlay-cni",
              "socket": "/run/overlay/agent.sock",
              "capabilities": {
                "portMappings": true,
                "ips": true,
                "ipRanges": true,
                "mac": true,
                "dns": true,
                "bandwidth": true
              },
              "ipam": {
                "dataDir": "/var/lib/cni/networks",
                "ranges": [
                  [
                    {
                      "subnet": "10.42.1.0/24"
                    }
                  ],
                  [
                    {
                      "subnet": "fd00:42:1::/64"
                    }
                  ]
                ]
              }
            }
          ]
        }

        """));

    [Test]
    public void Prefixes_of_one_family_share_a_range_set()
    {
        var list = DualStack with { PodCIDRs = [Cidr.Parse("fd00:42:1::/64"), Cidr.Parse("10.42.1.0/24"), Cidr.Parse("10.43.1.0/24")] };
        using var json = JsonDocument.Parse(list.ToJson());
        var ranges = json.RootElement.GetProperty("plugins")[0].GetProperty("ipam").GetProperty("ranges");
        Assert.That(ranges.EnumerateArray().Select(set => string.Join(' ', set.EnumerateArray().Select(range => range.GetProperty("subnet").GetString()))),
            Is.EqualTo(new[] { "fd00:42:1::/64", "10.42.1.0/24 10.43.1.0/24" }));
    }

    [Test]
    public void It_is_written_once_and_leaves_nothing_beside_it()
    {
        var path = Path.Combine(folder, "net.d", "05-overlay.conflist");
        Assert.That(DualStack.WriteTo(path), Is.True);
        Assert.That(DualStack.WriteTo(path), Is.False, "an unchanged list must not make the runtime reload");
        Assert.That((DualStack with { Socket = "/run/other.sock" }).WriteTo(path), Is.True);
        Assert.That(File.ReadAllText(path), Does.Contain("/run/other.sock"));
        Assert.That(Directory.GetFileSystemEntries(Path.GetDirectoryName(path)!), Has.Length.EqualTo(1));
        Conflist.Remove(path);
        Conflist.Remove(path);
        Conflist.Remove(Path.Combine(folder, "never", "x.conflist"));
        Assert.That(File.Exists(path), Is.False);
    }

    [Test]
    public void Pending_deletes_are_read_and_forgotten_and_a_broken_one_is_named()
    {
        var pending = new PendingDeletes(folder);
        var request = new AgentRequest { Command = "DEL", ContainerId = "c1", IfName = "eth0" };
        File.WriteAllBytes(Path.Combine(folder, PendingDelete.FileNameOf("c1", "eth0")), AgentLine.Of(request));
        File.WriteAllText(Path.Combine(folder, PendingDelete.FileNameOf("c2", "eth0")), "{");
        Assert.That(pending.Read(out var broken).Select(delete => delete.ContainerId), Is.EqualTo(new[] { "c1" }));
        Assert.That(broken.Single(), Does.Contain("c2@eth0.json"));
        Assert.That(pending.Find(new("c1", "eth0"))?.ContainerId, Is.EqualTo("c1"));
        Assert.That(pending.Find(new("c2", "eth0")), Is.Null);
        pending.Remove(new("c1", "eth0"));
        pending.Remove(new("c1", "eth0"));
        Assert.That(Directory.GetFileSystemEntries(folder), Is.Empty);
        Assert.That(new PendingDeletes(Path.Combine(folder, "never")).Read(out _), Is.Empty);
    }
}
