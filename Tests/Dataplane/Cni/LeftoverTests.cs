using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Cni;

/// <summary>What may go, and above all what may not.</summary>
public class LeftoverTests
{
    private static readonly DateTime Now = new(2026, 1, 1, 12, 0, 0, DateTimeKind.Utc);
    private static readonly DateTime Old = Now - NodeSight.Grace;
    private static readonly Attachment Web = AttachmentOf("c1");
    private static readonly AddressFile Address = new("/networks/overlay/10.42.1.5", InetAddress.Parse("10.42.1.5"), "c1", "eth0", Old);

    // A pod that lives.
    private static readonly NodeSight Living = new()
    {
        Attachments = [Web],
        Interfaces = [Web.HostInterface],
        Namespaces = new HashSet<string> { Web.NetnsPath },
        Addresses = [Address],
        Now = Now,
    };

    [Test]
    public void Of_a_pod_that_lives_nothing_goes() => Assert.That(Living.Leftovers(), Is.Empty);

    [Test]
    public void A_pod_whose_interface_and_namespace_are_gone_goes_with_its_addresses()
    {
        var gone = Living with { Interfaces = [], Namespaces = new HashSet<string>() };
        Assert.That(Kinds(gone), Is.EqualTo(new[] { "attachment", "address" }));
        Assert.That(gone.Leftovers()[0].Why, Is.EqualTo($"its interface {Web.HostInterface} and its namespace /run/netns/c1 are gone"));
        Assert.That(gone.Leftovers()[1].Why, Is.EqualTo("interface eth0 of container c1 is not wired"));
    }

    [Test]
    public void A_pod_that_lost_only_one_of_the_two_is_damaged_not_gone()
    {
        Assert.That((Living with { Interfaces = [] }).Leftovers(), Is.Empty);
        Assert.That((Living with { Namespaces = new HashSet<string>() }).Leftovers(), Is.Empty);
    }

    // The runtime called nobody: after a reboot, or because the plugin was killed.
    [Test]
    public void Addresses_of_containers_that_nobody_wired_go() =>
        Assert.That(Kinds(Living with { Attachments = [], Interfaces = [] }), Is.EqualTo(new[] { "address" }));

    [Test]
    public void An_address_whose_interface_is_there_stays_until_the_interface_is_gone()
    {
        var unknown = Living with { Attachments = [], Strangers = new HashSet<string> { Web.HostInterface } };
        Assert.That(unknown.Leftovers(), Is.Empty);
    }

    [Test]
    public void An_interface_without_attachment_goes_unless_the_agent_may_have_forgotten_it()
    {
        var orphan = Living with { Interfaces = [Web.HostInterface, "ovl0123456789a"] };
        Assert.That(orphan.Leftovers(), Is.EqualTo(new[] { new Leftover.OfInterface("ovl0123456789a", "no attachment has it") }));
        Assert.That((orphan with { Strangers = new HashSet<string> { "ovl0123456789a" } }).Leftovers(), Is.Empty);
    }

    // The pair goes with the pod's namespace, the device that shapes its packets does not.
    [Test]
    public void What_shapes_the_packets_of_a_pair_goes_when_the_pair_is_gone()
    {
        var shaped = Living with { Shapers = [Ownership.Shaper(Web.HostInterface), "ovb0123456789a"] };
        Assert.That(shaped.Leftovers(), Is.EqualTo(new[] { new Leftover.OfInterface("ovb0123456789a", "its pair is gone") }));
        Assert.That((shaped with { Interfaces = [Web.HostInterface, "ovl0123456789a"] }).Leftovers(), Is.EqualTo(new[] { new Leftover.OfInterface("ovl0123456789a", "no attachment has it") }), "it goes with its pair");
        Assert.That((shaped with { Interfaces = [Web.HostInterface, "ovl0123456789a"], Strangers = new HashSet<string> { "ovl0123456789a" } }).Leftovers(), Is.Empty);
    }

    // The interface is the same container's: what was left of it is one thing.
    [Test]
    public void The_address_of_an_interface_without_attachment_goes_with_it() =>
        Assert.That(Kinds(Living with { Attachments = [] }), Is.EqualTo(new[] { "interface", "address" }));

    [TestCase(-119, false)]
    [TestCase(-120, true)]
    [TestCase(119, false, Description = "the clock was set back a little")]
    [TestCase(86400, true, Description = "the machine has no clock of its own and started in the past")]
    public void Young_files_are_safe_as_their_ADD_may_be_under_way(int writtenSecondsLater, bool expected)
    {
        var written = Now.AddSeconds(writtenSecondsLater);
        var sight = new NodeSight { Addresses = [Address with { Written = written }], Temporaries = [new("/networks/overlay/.c1@eth0.tmp", written)], Now = Now };
        Assert.That(Kinds(sight), Is.EqualTo(expected ? new[] { "address", "file" } : []));
    }

    [Test]
    public void A_file_that_was_never_renamed_goes()
    {
        var sight = Living with { Temporaries = [new("/state/attachments/.c1-eth0.json.tmp", Old)] };
        Assert.That(sight.Leftovers(), Is.EqualTo(new[] { new Leftover.OfFile("/state/attachments/.c1-eth0.json.tmp", "its writer died before it renamed it") }));
    }

    [Test]
    public void A_claim_goes_when_its_container_is_not_wired()
    {
        var claim = new ClaimFile("/networks/overlay/.claims/c1@eth0", "c1", "eth0", Old);
        Assert.That((Living with { Claims = [claim] }).Leftovers(), Is.Empty);
        Assert.That(Kinds(Living with { Claims = [claim with { IfName = "net1" }] }), Is.EqualTo(new[] { "file" }));
        Assert.That(Kinds(Living with { Claims = [claim with { IfName = "net1", Written = Now }] }), Is.Empty);
    }

    // After a power cut; no DEL will ever name it.
    [Test]
    public void An_address_file_without_content_goes() =>
        Assert.That((Living with { Addresses = [Address with { ContainerId = "", IfName = "" }] }).Leftovers().Single().Why, Is.EqualTo("its file names no container"));

    [TestCase("c1", false)]
    [TestCase("c2", true)]
    public void Files_of_very_old_versions_name_the_container_alone(string container, bool expected) =>
        Assert.That(Kinds(Living with { Addresses = [Address with { ContainerId = container, IfName = "" }] }), Is.EqualTo(expected ? new[] { "address" } : []));

    [Test]
    public void Another_interface_of_a_container_is_another_attachment() =>
        Assert.That(Kinds(Living with { Addresses = [Address, Address with { IfName = "net1" }] }), Is.EqualTo(new[] { "address" }));

    // While it has not been forgotten, or has been wired anew, the addresses may be its own.
    [Test]
    public void What_another_plugin_gave_is_to_be_taken_back_once_nobody_is_wired_with_it()
    {
        Assert.That((Living with { Orphans = [Web] }).Leftovers(), Is.Empty);
        Assert.That(Kinds(Living with { Orphans = [Web], Interfaces = [], Namespaces = new HashSet<string>(), Addresses = [] }), Is.EqualTo(new[] { "attachment" }));
        var leftover = (Living with { Attachments = [], Interfaces = [], Addresses = [], Orphans = [Web] }).Leftovers().Single();
        Assert.That(leftover, Is.EqualTo(new Leftover.OfDelegation(Web, "interface eth0 of container c1 is not wired")));
        Assert.That(leftover.What, Is.EqualTo("what the IPAM plugin of network overlay gave to container c1: 10.42.1.5"));
    }

    private static IEnumerable<string> Kinds(NodeSight sight)
    {
        var kinds = sight.Leftovers().Select(leftover => leftover.Kind).ToList();
        Assert.That(Leftover.Kinds, Is.SupersetOf(kinds));
        return kinds;
    }

    private static Attachment AttachmentOf(string container) => new(
        container, "eth0", new("shop", "web"), "", $"/run/netns/{container}", Ownership.PodInterface(container, "eth0"), Ownership.PodMac(container, "eth0"), [InetAddress.Parse("10.42.1.5")], "overlay");
}
