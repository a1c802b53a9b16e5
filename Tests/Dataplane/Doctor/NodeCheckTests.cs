using Overlay.Dataplane.Cli;
using Overlay.Dataplane.Doctor;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Operator;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Doctor;

/// <summary>What is said of the agent and the other nodes, the CNI configuration, the datastore, disk and clock; and how it is printed.</summary>
public class NodeCheckTests
{
    private static readonly Node Own = new("node-1", [Cidr.Parse("10.42.1.0/24")], [InetAddress.Parse("192.0.2.1")]);

    [Test]
    public void Without_an_agent_the_other_nodes_are_not_asked()
    {
        var finding = AgentCheck.Judge(null, "No agent answers at /run/overlay/agent.sock").Single();
        Assert.That((finding.Check, finding.Severity, finding.What), Is.EqualTo(("peers", Severity.Warn, "not asked: no agent answers at /run/overlay/agent.sock")));
    }

    [Test]
    public void A_node_that_the_agent_complains_of_fails_and_other_complaints_warn()
    {
        var findings = AgentCheck.Judge(Status("Node node-2: does not answer.", "Node node-1: this node has no podCIDRs.", "mtu: too large.", "tunnel: checksums come out wrong."), "").ToList();
        Assert.That(findings.Where(finding => finding.Severity == Severity.Fail).Select(finding => (finding.Check, finding.What)), Is.EqualTo(new[] { ("peers", "Node node-2: does not answer") }));
        Assert.That(findings.Where(finding => finding.Severity == Severity.Warn).Select(finding => (finding.Check, finding.What)), Is.EqualTo(new[] { ("agent", "says that it is degraded: Node node-1: this node has no podCIDRs"), ("agent", "says that it is degraded: mtu: too large") }));
        Assert.That(AgentCheck.Judge(Status(), "").Select(finding => finding.Severity), Is.All.EqualTo(Severity.Pass));
        Assert.That(AgentCheck.Judge(Status() with { Synced = false }, "").First().Severity, Is.EqualTo(Severity.Warn));
    }

    [TestCase("", Severity.Pass)]
    [TestCase("05-overlay.conflist", Severity.Pass)]
    [TestCase("05-overlay.conflist 10-calico.conflist", Severity.Pass)]
    [TestCase("00-multus.conf 05-overlay.conflist", Severity.Fail)]
    [TestCase("00-multus.conf", Severity.Warn)]
    [TestCase("10-calico.conflist", Severity.Pass)]
    [TestCase("00-notes.txt .05-overlay.conflist.tmp 05-overlay.conflist", Severity.Pass, Description = "no runtime reads these")]
    [TestCase("05-Overlay.json 05-overlay.conflist", Severity.Fail, Description = "capitals come first")]
    public void The_runtime_takes_the_first(string names, Severity expected)
    {
        var finding = ConflistCheck.Judge(new("/etc/cni/net.d", "05-overlay.conflist", names.Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        Assert.That(finding.Severity, Is.EqualTo(expected), finding.What);
    }

    [Test]
    public void A_folder_that_is_not_there_yet_passes() => Assert.That(ConflistCheck.Judge(new("/etc/cni/net.d", "05-overlay.conflist", null)).Severity, Is.EqualTo(Severity.Pass));

    [Test]
    public void The_Node_must_be_there_and_have_podCIDRs()
    {
        Finding Last(IReadOnlyList<Node> nodes, string podCidrs = "") => DatastoreCheck.Judge(
            new("directory:/etc/overlay/cluster", [], nodes, []), new() { NodeName = "node-1", PodCidrs = podCidrs.Length > 0 ? [Cidr.Parse(podCidrs)] : [] }).Last();
        Assert.That(Last([Own]).Severity, Is.EqualTo(Severity.Pass));
        Assert.That(Last([Own with { PodCidrs = [] }]).Severity, Is.EqualTo(Severity.Fail));
        Assert.That(Last([Own with { PodCidrs = [] }], "10.42.1.0/24").Severity, Is.EqualTo(Severity.Pass));
        Assert.That((Last([Own with { Name = "node1" }]).Severity, Last([Own with { Name = "node1" }]).What), Is.EqualTo((Severity.Fail, "there is no Node node-1; there is node1")));
    }

    [TestCase("", 1L << 30, 100_000L, true, Severity.Pass)]
    [TestCase("", 1L << 30, null, true, Severity.Pass)]
    [TestCase("EROFS", 1L << 30, 100_000L, true, Severity.Fail)]
    [TestCase("EACCES", 1L << 30, 100_000L, false, Severity.Warn)]
    [TestCase("", 1L << 20, 100_000L, true, Severity.Fail)]
    [TestCase("", 1L << 30, 10L, true, Severity.Fail)]
    public void A_folder_is_to_be_writable_and_not_full(string refusal, long bytes, long? inodes, bool isPrivileged, Severity expected) =>
        Assert.That(DiskCheck.Judge([new("stateDir", "/var/lib/overlay", "/var/lib", refusal, bytes, inodes)], isPrivileged).Single().Severity, Is.EqualTo(expected));

    [TestCase(true, Severity.Pass)]
    [TestCase(false, Severity.Warn)]
    [TestCase(null, Severity.Warn)]
    public void A_clock_that_nobody_keeps_warns(bool? isSynchronised, Severity expected) => Assert.That(ClockCheck.Judge(isSynchronised, "EPERM").Severity, Is.EqualTo(expected));

    [Test]
    public void On_sixty_columns_lines_are_broken_between_words()
    {
        using var output = new StringWriter { NewLine = "\n" };
        DoctorCommand.Print(DoctorReport.Of("node-1", [Finding.Fail("kernel", "the kernel does not take ipip devices (EOPNOTSUPP)", "Load ipip (modprobe ipip); for good by a line for each in /etc/modules-load.d/overlay.conf."), ClockCheck.Judge(true, "")]), new(output, 60));
        Assert.That(output.ToString(), Is.EqualTo("""
            fail  kernel  the kernel does not take ipip devices
                          (EOPNOTSUPP)
                  -> Load ipip (modprobe ipip); for good by a line for
                     each in /etc/modules-load.d/overlay.conf.
            pass  clock   synchronised
            1 failed, 0 warnings, 1 passed on node node-1.

            """.ReplaceLineEndings("\n")));
    }

    private static StatusReport Status(params string[] degraded) => new()
    {
        Node = "node-1", Version = "1.2.3", Started = DateTime.UnixEpoch, Synced = true, Encapsulation = "vxlan", Mtu = 1450, MtuSource = "", Underlay = [], SoftwareChecksums = [], FlowOffload = "", PodCidrs = ["10.42.1.0/24"], Peers = [], Pods = [],
        Policies = new(0, 0, 0), Rejected = [], Quarantined = [], Degraded = degraded, LastResync = null, LastCommit = null, DriftRepaired = 0, MemoryBytes = 0,
    };
}
