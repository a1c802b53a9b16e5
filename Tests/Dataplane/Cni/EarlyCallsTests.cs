using System.Threading.Channels;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;

namespace Overlay.Tests.Dataplane.Cni;

/// <summary>Calls that come before the agent serves.</summary>
public class EarlyCallsTests
{
    private readonly Channel<CniCall> _calls = Channel.CreateUnbounded<CniCall>();
    private readonly Dictionary<CniCall, AgentResponse> _answers = [];
    private EarlyCalls _early = null!;

    [SetUp]
    public void Begin()
    {
        _answers.Clear();
        _early = new(_calls.Reader);
    }

    [Test]
    public void An_ADD_that_has_waited_long_is_told_what_for()
    {
        var (young, old) = (Send("ADD", ageInSeconds: 1), Send("ADD", ageInSeconds: 13));
        _early.Wait("waits for the API server");
        Assert.That(_answers.Keys, Is.EqualTo(new[] { old }));
        var error = _answers[old].Error;
        Assert.That((error?.Code, error?.Msg), Is.EqualTo((CniErrorCode.TryAgainLater, "the agent of this node cannot wire pods yet: it waits for the API server")));
        Assert.That(_early.Take(), Is.EqualTo(new[] { young }));
        Assert.That(_early.Take(), Is.Empty);
    }

    [Test]
    public void Others_wait_as_long_as_their_plugins_do_and_a_DEL_for_ever()
    {
        CniCall[] waiting = [Send("DEL", 60), Send("DEL", 60, isGone: true), Send("CHECK", 60), Send("STATUS", 60)];
        CniCall[] gone = [Send("ADD", 1, isGone: true), Send("CHECK", 1, isGone: true), Send("STATUS", 1, isGone: true)];
        _early.Wait("waits");
        Assert.That(_answers.Keys, Is.EquivalentTo(gone), "they would pile up");
        Assert.That(_early.Take(), Is.EqualTo(waiting));
    }

    private CniCall Send(string command, int ageInSeconds, bool isGone = false)
    {
        CniCall call = null!;
        call = new(new() { Command = command, Began = BootClock.Now - (ageInSeconds * 1_000_000_000L) }, (answer, _) => _answers.Add(call, answer), new(isGone));
        Assert.That(_calls.Writer.TryWrite(call));
        return call;
    }
}
