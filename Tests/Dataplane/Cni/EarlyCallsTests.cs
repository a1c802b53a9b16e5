using System.Threading.Channels;
using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Cni;

namespace Overlay.Tests.Dataplane.Cni;

/// <summary>Calls that come before the agent serves.</summary>
public class EarlyCallsTests
{
    private readonly Channel<CniCall> _calls = Channel.CreateUnbounded<CniCall>();
    private EarlyCalls _early = null!;

    [SetUp]
    public void Begin() => _early = new(_calls.Reader);

    [Test]
    public async Task An_ADD_that_has_waited_long_is_told_what_for()
    {
        var (young, old) = (Send("ADD", ageInSeconds: 1), Send("ADD", ageInSeconds: 13));
        _early.Wait("waits for the API server");
        Assert.That(young.Answered.IsCompleted, Is.False);
        var error = (await old.Answered).Error;
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
        Assert.That(gone.Select(call => call.Answered.IsCompleted), Is.All.True, "they would pile up");
        Assert.That(_early.Take(), Is.EqualTo(waiting));
    }

    private CniCall Send(string command, int ageInSeconds, bool isGone = false)
    {
        var call = new CniCall(new() { Command = command, Began = BootClock.Now - (ageInSeconds * 1_000_000_000L) }, new(isGone));
        Assert.That(_calls.Writer.TryWrite(call));
        return call;
    }
}
