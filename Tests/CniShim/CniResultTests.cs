namespace Overlay.Tests.CniShim;

/// <summary>The result of ADD, letter by letter, in each version.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class CniResultTests : IAsyncDisposable
{
    private readonly AgentFixture agent = new();

    public ValueTask DisposeAsync() => agent.DisposeAsync();

    [TestCase("0.3.0")]
    [TestCase("0.3.1")]
    [TestCase("0.4.0")]
    public void Before_1_0_each_address_tells_its_version(string version) => Assert.That(Add(agent.Configuration(version)), Is.EqualTo(
        $$"""{"cniVersion":"{{version}}","interfaces":[{"name":"ovlabc","mac":"02:6f:76:6c:00:01"},{"name":"eth0","mac":"0a:58:0a:2a:01:02","sandbox":"/proc/self/ns/net"}]"""
        + ""","ips":[{"version":"4","interface":1,"address":"10.42.1.2/32","gateway":"169.254.1.1"},{"version":"6","interface":1,"address":"fd00:42:1::2/128","gateway":"fe80::1"}]"""
        + ""","routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}],"dns":{}}""" + "\n"));

    [Test]
    public void In_1_0_it_does_not() => Assert.That(Add(agent.Configuration("1.0.0")), Is.EqualTo(
        """{"cniVersion":"1.0.0","interfaces":[{"name":"ovlabc","mac":"02:6f:76:6c:00:01"},{"name":"eth0","mac":"0a:58:0a:2a:01:02","sandbox":"/proc/self/ns/net"}]"""
        + ""","ips":[{"interface":1,"address":"10.42.1.2/32","gateway":"169.254.1.1"},{"interface":1,"address":"fd00:42:1::2/128","gateway":"fe80::1"}]"""
        + ""","routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}],"dns":{}}""" + "\n"));

    [Test]
    public void In_1_1_interfaces_have_an_MTU() => Assert.That(Add(agent.Configuration("1.1.0")), Is.EqualTo(
        """{"cniVersion":"1.1.0","interfaces":[{"name":"ovlabc","mac":"02:6f:76:6c:00:01","mtu":1450},{"name":"eth0","mac":"0a:58:0a:2a:01:02","mtu":1450,"sandbox":"/proc/self/ns/net"}]"""
        + ""","ips":[{"interface":1,"address":"10.42.1.2/32","gateway":"169.254.1.1"},{"interface":1,"address":"fd00:42:1::2/128","gateway":"fe80::1"}]"""
        + ""","routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}],"dns":{}}""" + "\n"));

    [Test]
    public void One_family_gives_one_address_and_one_route() => Assert.That(Add(agent.Configuration("1.0.0", ranges: """[[{"subnet":"fd00:42:1::/117"}]]""")), Does.Contain(
        ""","ips":[{"interface":1,"address":"fd00:42:1::2/128","gateway":"fe80::1"}],"routes":[{"dst":"::/0","gw":"fe80::1"}]"""));

    [Test]
    public void Chained_it_appends_to_the_result_so_far() => Assert.That(
        Add(agent.Configuration("1.0.0", """
            ,"prevResult":{"cniVersion":"1.0.0","interfaces":[{"name":"first","custom":true}],"ips":[{"address":"192.0.2.1/24","interface":0}],"routes":[{"dst":"192.0.2.0/24"}],"dns":{"domain":"d"}}
            """)),
        Is.EqualTo(
        """{"cniVersion":"1.0.0","interfaces":[{"name":"first","custom":true},{"name":"ovlabc","mac":"02:6f:76:6c:00:01"},{"name":"eth0","mac":"0a:58:0a:2a:01:02","sandbox":"/proc/self/ns/net"}]"""
        + ""","ips":[{"address":"192.0.2.1/24","interface":0},{"interface":2,"address":"10.42.1.2/32","gateway":"169.254.1.1"},{"interface":2,"address":"fd00:42:1::2/128","gateway":"fe80::1"}]"""
        + ""","routes":[{"dst":"192.0.2.0/24"},{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}],"dns":{"domain":"d"}}""" + "\n"));

    [Test]
    public void Chained_a_result_of_a_later_version_becomes_one_of_the_version_asked_for() => Assert.That(
        Add(agent.Configuration("0.4.0", """
            ,"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"first","mtu":1400,"socketPath":"/x","custom":true}],"ips":[{"address":"192.0.2.1/24","interface":0}],"routes":[{"dst":"192.0.2.0/24","mtu":1400,"scope":0}]}
            """)),
        Does.StartWith("""{"cniVersion":"0.4.0","interfaces":[{"name":"first","custom":true},""")
            .And.Contains(""","ips":[{"version":"4","address":"192.0.2.1/24","interface":0},{"version":"4",""").And.Contains(""","routes":[{"dst":"192.0.2.0/24"},"""));

    [Test]
    public void Chained_a_result_of_an_earlier_version_becomes_one_of_the_version_asked_for() => Assert.That(
        Add(agent.Configuration("1.0.0", ""","prevResult":{"cniVersion":"0.4.0","ips":[{"version":"4","address":"192.0.2.1/24"}]}""")),
        Does.Contain(""","ips":[{"address":"192.0.2.1/24"},{"interface":1,"""));

    [TestCase(""","runtimeConfig":{"dns":{"Servers":["10.96.0.10"],"Searches":["s"],"Options":["ndots:5"]}}""", TestName = "DNS_of_containerd_in_PascalCase")]
    [TestCase(""","runtimeConfig":{"dns":{"servers":["10.96.0.10"],"searches":["s"],"options":["ndots:5"]}}""", TestName = "DNS_of_the_runtime_in_camelCase")]
    [TestCase(""","DNS":{"nameservers":["10.96.0.10"],"search":["s"],"options":["ndots:5"]}""", TestName = "DNS_of_the_configuration")]
    [TestCase(""","dns":{"domain":"no"},"RuntimeConfig":{"DNS":{"servers":["10.96.0.10"],"searches":["s"],"options":["ndots:5"]}}""", TestName = "DNS_of_the_runtime_before_that_of_the_configuration")]
    public void Dns(string more) => Assert.That(Add(agent.Configuration("1.0.0", more)), Does.EndWith(
        ""","dns":{"nameservers":["10.96.0.10"],"search":["s"],"options":["ndots:5"]}}""" + "\n"));

    [Test]
    public void Keys_count_in_any_case()
    {
        agent.Start();
        var stdin = $$$"""{"CNIVERSION":"1.0.0","Name":"n","Socket":"{{{agent.SocketPath}}}","Ipam":{"DATADIR":"{{{agent.Folder}}}/networks","Ranges":[[{"Subnet":"10.42.1.0/24","rangestart":"10.42.1.77"}]]},"unknown":{}}""";
        Assert.That(new PluginCall { Stdin = stdin }.Run().Addresses, Is.EqualTo(new[] { "10.42.1.77/32" }));
    }

    private string Add(string stdin)
    {
        agent.Start();
        var outcome = new PluginCall { Stdin = stdin }.Run();
        Assert.That(outcome.ExitCode, Is.Zero, outcome.Stdout);
        Assert.That(outcome.Stderr, Is.Empty);
        return outcome.Stdout;
    }
}
