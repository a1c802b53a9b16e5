using Overlay.CniShim.Protocol;

namespace Overlay.Tests.CniShim;

/// <summary>The words between plugin and agent, there and back.</summary>
public class AgentLineTests
{
    [Test]
    public void A_request_comes_back_as_it_was_sent()
    {
        var request = new AgentRequest
        {
            Command = "ADD",
            ContainerId = "c1",
            Netns = "/run/netns/c1",
            IfName = "eth0",
            Network = "n",
            PodNamespace = "shop",
            PodName = "web",
            PodUid = "u1",
            Mac = "02:00:5e:10:00:01",
            Began = long.MaxValue,
            Grace = 300,
            PreviousMac = "02:00:5e:10:00:02",
            Bandwidth = new() { IngressRate = 1, IngressBurst = 2, EgressRate = 3, EgressBurst = 4_294_967_296 },
            AddressFolder = "/var/lib/cni/networks/n",
            Delegation = new("{\n\t\"name\": \"n\"}", "/opt/cni/bin:/usr/lib/cni", "IgnoreUnknown=1;A=B"),
            LooseAddresses = [new() { Address = "10.42.1.2/32", Gateway = "10.42.1.1" }],
        };
        var line = AgentLine.Of(request);
        Assert.That(line[^1], Is.EqualTo((byte)'\n'));
        var read = AgentLine.ReadRequest(line);
        Assert.That(read.LooseAddresses, Is.EqualTo(request.LooseAddresses));
        Assert.That(read with { LooseAddresses = request.LooseAddresses, Addresses = request.Addresses, PortMappings = request.PortMappings, ValidAttachments = request.ValidAttachments }, Is.EqualTo(request));
    }

    private static readonly string[] Texts = ["it said \"no\": \\ at\nline 2\t\u0001\u007f", "ÄÖ€ \U0001F600 <a href='x'>&+", "a half \ud83d of a pair"];

    [Test]
    public void Any_text_comes_back([Range(0, 2)] int number)
    {
        var (text, read) = (Texts[number], Texts[number].Replace("\ud83d ", "\ufffd ", StringComparison.Ordinal));
        var line = AgentLine.Of(AgentError.Answer(999, text));
        Assert.That(line.AsSpan().IndexOf((byte)'\n'), Is.EqualTo(line.Length - 1), "one line");
        Assert.That(AgentLine.ReadResponse(line).Error?.Msg, Is.EqualTo(read));
        Assert.That(System.Text.Json.JsonDocument.Parse(line).RootElement.GetProperty("error").GetProperty("msg").GetString(), Is.EqualTo(read));
    }

    [Test]
    public void A_plugin_of_before_asks_for_nothing_new()
    {
        var read = AgentLine.ReadRequest("""{"version":1,"command":"DEL","containerId":"c1","ifName":"eth0"}"""u8);
        Assert.That((read.Mac, read.Began, read.Grace, read.PreviousMac, read.Bandwidth), Is.EqualTo(("", 0L, 0, "", (Bandwidth?)null)));
        Assert.That((read.LooseAddresses.Count, read.AddressFolder, read.Delegation), Is.EqualTo((0, "", (Delegation?)null)));
    }

    [Test]
    public void An_answer_comes_back_as_it_was_sent()
    {
        AgentResponse[] answers = [AgentResponse.Done, AgentResponse.Stale, AgentError.Answer(11, "no", "because")];
        Assert.That(answers.Select(answer => AgentLine.ReadResponse(AgentLine.Of(answer))), Is.EqualTo(answers));
    }

    [Test]
    public void The_clock_they_share_is_the_kernels()
    {
        var before = Uptime();
        var now = TimeSpan.FromMicroseconds(BootClock.Now / 1000.0);
        Assert.That(now, Is.InRange(before, Uptime() + TimeSpan.FromMilliseconds(10)), "/proc/uptime counts in hundredths");
    }

    private static TimeSpan Uptime() => TimeSpan.FromSeconds(double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture));
}
