using Overlay.Dataplane;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Serilog.Core;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Tests.Kernel;

/// <summary>Whether wiring a pod makes the agent look through all of the kernel's connections: only when its address has a past.</summary>
[Property("Issue", 5)]
public class FreshPodTests
{
    private static readonly Cidr Prefix = Cidr.Parse("10.42.1.0/24");

    private NetnsFixture _net = null!;
    private NodeKernel _kernel = null!;
    private NodeDataplane _dataplane = null!;

    // An agent that has begun, and has looked at connections once: an address of a pod that is gone still has some.
    [SetUp]
    public void Begin()
    {
        _net = NetnsFixture.Create();
        _net.Run("ip link set lo up");
        _kernel = _net.Netns.Run(NodeKernel.Open);
        _dataplane = new(new OverlayConfiguration { NodeName = "node-1", PodCidrs = [Prefix] }, _kernel, Logger.None);
        _dataplane.Apply(new ClusterChange.Synced());
        _net.Netns.Run(_dataplane.Resync);
        Look("10.42.1.7");
    }

    [TearDown]
    public void End()
    {
        _kernel?.Dispose();
        _net?.Dispose();
    }

    [Test]
    public void A_pod_with_a_fresh_address_is_no_reason()
    {
        Wire("c1", "10.42.1.5");
        Assert.That(_dataplane.TakeStaleFlows(), Is.Null);
        Assert.That(_dataplane.FlowsDue, Is.Not.Null, "what is not known to need it is looked at in a while");
    }

    [TestCase("10.42.1.7", TestName = "An_address_that_has_connections_of_a_pod_before_is_a_reason")]
    [TestCase("10.9.9.9", TestName = "An_address_of_which_nobody_knows_is_a_reason")]
    public void A_reason(string address)
    {
        Wire("c1", address);
        Assert.That(_dataplane.TakeStaleFlows(), Is.Not.Null);
    }

    [Test]
    public void An_address_is_fresh_again_once_a_later_look_has_found_nothing_of_it()
    {
        var key = Wire("c1", "10.42.1.5");
        Unwire(key);
        key = Wire("c2", "10.42.1.5");
        Assert.That(_dataplane.TakeStaleFlows(), Is.Not.Null, "it may have connections of the pod just gone");
        Unwire(key);
        _net.Netns.Run(_dataplane.Resync);
        Look();
        Wire("c3", "10.42.1.5");
        Assert.That(_dataplane.TakeStaleFlows(), Is.Null);
    }

    // What FlowRevocation does beside the loop: answers the request that is due.
    private void Look(params string[] remains)
    {
        var request = _dataplane.TakeStaleFlows();
        Assert.That(request, Is.Not.Null);
        _dataplane.Observe(new(request!.Number, request.Prefixes, remains.Select(InetAddress.Parse).ToHashSet()));
    }

    // Of ADD and DEL what concerns policy.
    private AttachmentKey Wire(string container, string address)
    {
        var attachment = new Attachment(container, "eth0", new("shop", container), "", "", $"ovl{container}", Ownership.PodMac(container, "eth0"), [InetAddress.Parse(address)], "overlay");
        _dataplane.Attach(attachment);
        _dataplane.CommitPolicy();
        return attachment.Key;
    }

    private void Unwire(AttachmentKey key)
    {
        _dataplane.Detach(key);
        _dataplane.CommitPolicy();
    }
}
