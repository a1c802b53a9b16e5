extern alias shim;

using System.Security.Cryptography;
using Overlay.Dataplane.Cni;
using Overlay.Dataplane.Desired;
using Overlay.CniShim.Protocol;
using Overlay.Tests.Kernel;
using shim::Overlay.CniShim;
using ShimAttachment = shim::Overlay.CniShim.Protocol.Attachment;

namespace Overlay.Tests.CniShim;

/// <summary>What the plugin does to interfaces while no agent answers.</summary>
public class HostInterfaceTests
{
    [Test]
    public void Its_hash_is_SHA_256([Range(0, 200)] int length)
    {
        var message = Enumerable.Range(0, length).Select(number => (byte)(number * 7)).ToArray();
        Assert.That(Sha256.Hash(message), Is.EqualTo(SHA256.HashData(message)));
    }

    [TestCase("c1", "eth0")]
    [TestCase("8f0e1c6d3c1e4b6b9d0a7f5e2c4b6a8d8f0e1c6d3c1e4b6b9d0a7f5e2c4b6a8d", "net1")]
    public void Its_name_is_the_agents(string containerId, string ifName) =>
        Assert.That(HostInterface.NameOf(new ShimAttachment(containerId, ifName)), Is.EqualTo(Ownership.PodInterface(containerId, ifName)));

    [Test]
    public async Task DEL_of_a_pod_of_which_the_agent_cannot_be_told_is_done_and_fails()
    {
        using var node = NetnsFixture.Create();
        await using var agent = new AgentFixture();
        await File.WriteAllTextAsync(PendingDelete.FolderOf(agent.SocketPath), "no folder");
        Directory.CreateDirectory(agent.Addresses);
        await File.WriteAllTextAsync(Path.Combine(agent.Addresses, "10.42.1.9"), "c1\r\neth0");
        node.Run($"ip link add {Ownership.PodInterface("c1", "eth0")} type veth peer name eth0");
        var del = new PluginCall { Stdin = agent.Configuration(), Command = "DEL" };
        Assert.That(node.Netns.Run(del.Run).Verdict, Does.StartWith("5 the agent could not be told that container c1 has no interface eth0 any more: "));
        Assert.That(agent.Reserved, Is.Empty);
        Assert.That(node.Run("ip -o link"), Does.Not.Contain("eth0"));
        Assert.That(node.Netns.Run(del.Run).Verdict, Is.EqualTo("0"), "there is nothing left");
    }

    [Test]
    public async Task DEL_without_an_agent_takes_the_interface_away_at_once_and_no_other()
    {
        using var node = NetnsFixture.Create();
        using var pod = NetnsFixture.Create();
        await using var agent = new AgentFixture();
        var own = Ownership.PodInterface("c1", "eth0");
        var other = Ownership.PodInterface("c2", "eth0");
        node.Run($"ip link add {own} type veth peer name eth0 netns {pod.Name}");
        node.Run($"ip link add {other} type veth peer name eth1 netns {pod.Name}");
        foreach (var shaper in (string[])[Ownership.Shaper(own), Ownership.Shaper(other)])
            node.Run($"ip link add {shaper} type bridge"); // an ifb by any other kind: it goes by its name
        var del = new PluginCall { Stdin = agent.Configuration(), Command = "DEL" }.With("CNI_NETNS", pod.Path);
        for (var time = 0; time < 2; time++)
        {
            Assert.That(node.Netns.Run(del.Run), Is.EqualTo(new PluginOutcome(0, "", "")));
            Assert.That(node.Run("ip -o link"), Does.Not.Contain(own).And.Contain(other));
            Assert.That(node.Run("ip -o link"), Does.Not.Contain(Ownership.Shaper(own)).And.Contain(Ownership.Shaper(other)));
            Assert.That(pod.Run("ip -o link"), Does.Not.Contain("eth0").And.Contain("eth1"));
        }

        Assert.That(new PendingDeletes(PendingDelete.FolderOf(agent.SocketPath)).Read(out _).Single().ContainerId, Is.EqualTo("c1"), "the agent's part waits for it");
    }
}
