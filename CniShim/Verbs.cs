using Overlay.CniShim.Ipam;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>The verbs: what is asked of IPAM and of the agent, in which order, and what is undone when one of them fails.</summary>
internal sealed class Verbs
{
    // Parts of a verb's time: what ADD may use before it has to begin undoing, and what a hanging agent may use before the rest is done without it.
    private const double AddWork = 5.0 / 6;
    private const double AgentPart = 1.0 / 2;

    private readonly CniEnvironment environment;
    private readonly CniVariables variables;
    private readonly NetworkConfiguration configuration;
    private readonly AgentClient agent;
    private readonly IIpam ipam;
    private readonly CniArgs args;
    private readonly AgentRequest request;
    private readonly Deadline deadline;

    // Why the agent knows nothing of a DEL that concerns it. The rest of that DEL is done all the same: the agent wires nobody with an address that it knows as another's,
    // and forgets pods whose interface is gone when it starts.
    private CniException? untold;

    /// <summary>Prepares a call; nothing is touched yet.</summary>
    public Verbs(CniEnvironment environment, CniVariables variables, NetworkConfiguration configuration, Deadline deadline)
    {
        this.environment = environment;
        this.variables = variables;
        this.configuration = configuration;
        this.deadline = deadline;
        agent = new(configuration.Socket);
        args = CniArgs.Parse(variables.Args, lenient: variables.Command is "DEL" or "GC" or "STATUS");
        ipam = configuration.Ipam.Text("type") is { Length: > 0 } plugin
            ? new DelegatedIpam(plugin, configuration, variables, environment.Variable, deadline)
            : new BuiltInIpam(configuration, variables, args, environment.GcGrace);
        request = new()
        {
            Command = variables.Command,
            ContainerId = variables.ContainerId,
            Netns = variables.Netns,
            IfName = variables.IfName,
            Network = configuration.Name,
            PodNamespace = args.PodNamespace,
            PodName = args.PodName,
            PodUid = args.PodUid,
            Began = variables.Began ?? environment.Began,
        };
    }

    /// <summary>ADD: addresses, then wiring, then the result. When one fails, what was done before is undone; the agent undoes its own failures by itself.</summary>
    /// <param name="print">Hands the result to the runtime. One that it does not get counts for nothing: it would take the pod for not wired.</param>
    public void Add(Action<CniResult> print)
    {
        NetworkNamespace.Require(variables.Netns, environment.OwnNetns, variables.NetnsOverride);
        var wanted = ipam.Describe(request with
        {
            PortMappings = configuration.ReadPortMappings(),
            Mac = configuration.ReadMac(args.Mac),
            Bandwidth = configuration.ReadBandwidth(),
        });
        var work = deadline.Part(AddWork);
        var given = ipam.Add(work);
        Fault.Pass(FaultPoint.ShimAddressesTaken);
        var isWired = false;
        try
        {
            var hosts = given.Hosts;
            var answer = Ask(wanted with { Addresses = given.Addresses }, Deadline.In(environment.Deadlines.AgentStart), work, ipam.Persist);
            isWired = answer.Wired is not null;
            Fault.Pass(FaultPoint.ShimAddAnswered);
            print(answer.Wired is { } wired
                ? new(configuration, variables, wired, hosts, given.Dns)
                : throw new CniException(CniErrorCode.Decoding, $"the agent at {configuration.Socket} answered ADD with neither a result nor an error; install plugin and agent of one release"));
        }
        catch
        {
            var isOurs = true;
            if (isWired)
                Undo("the interface", () => isOurs = Unwire(request with { Command = "DEL", Began = BootClock.Now }, deadline.Part(AgentPart)));
            if (isOurs)
                Undo(string.Join(", ", given.Addresses.Select(address => address.Address)), () => ipam.Undo(deadline));
            throw;
        }
    }

    // What goes wrong here must not hide why we are here; the runtime's DEL, or GC, will find what is left.
    private void Undo(string what, Action step)
    {
        try
        {
            step();
        }
        catch (Exception error) when (error is CniException or IOException or UnauthorizedAccessException or TimeoutException)
        {
            environment.Say($"{what} could not be given back: {error.Message}");
        }
    }

    /// <summary>DEL: unwiring, then the addresses. Succeeds when there is nothing to do, and without an agent: the interface goes at once, the rest waits for the agent as a file.</summary>
    public void Del()
    {
        ipam.Look();
        var isOurs = Unwire(
            NetworkNamespace.IsOwn(variables.Netns, environment.OwnNetns) && !variables.NetnsOverride
                ? request with { Netns = "" } // the path was given to another process meanwhile; the agent knows its interface by the attachment
                : request,
            deadline.Part(AgentPart));
        Fault.Pass(FaultPoint.ShimUnwired);
        if (isOurs)
            ipam.Del(deadline);
        if (untold is not null)
            throw untold;
    }

    /// <returns>Whether the addresses are now to be given back. False: the agent passed the DEL over, so they are those of another pod that has this attachment by now.</returns>
    private bool Unwire(AgentRequest delete, Deadline answerBy)
    {
        if (TryUnwire(delete, answerBy) is { } answer)
            return !answer.PassedOver;
        var mayBeWired = true;
        try
        {
            if (!OperatingSystem.IsWindows())
                mayBeWired = HostInterface.Remove(new(delete.ContainerId, delete.IfName), answerBy.Passed ? deadline.Part(AgentPart) : answerBy);
            Fault.Pass(FaultPoint.ShimPairRemoved);
        }
        catch (Exception error) when (error is IOException or TimeoutException)
        {
            environment.Say($"{error.Message}; the agent removes the interface when it is back");
        }

        var pending = new DeleteQueue(configuration.Socket);
        try
        {
            pending.Add(delete);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            untold = mayBeWired ? new(CniErrorCode.Io, $"the agent could not be told that container {delete.ContainerId} has no interface {delete.IfName} any more: {error.Message}") : null;
            return true;
        }

        if (TryUnwire(delete, answerBy) is not { } late) // it may have come, and looked into the queue, just before the file was there
            return true;
        pending.Remove(delete);
        return !late.PassedOver;
    }

    /// <summary>CHECK: whether both still have what ADD's result says.</summary>
    public void Check()
    {
        if (configuration.PrevResult is not { } result)
            throw new CniException(CniErrorCode.InvalidConfiguration, "Required prevResult missing");
        NetworkNamespace.Require(variables.Netns, environment.OwnNetns, variables.NetnsOverride);
        var interfaces = result.List("interfaces");
        var own = Enumerable.Range(0, interfaces.Count)
            .Where(number => interfaces[number].Text("name") == variables.IfName && interfaces[number].Text("sandbox").Length > 0)
            .ToHashSet();
        if (own.Count == 0)
            throw new CniException(CniErrorCode.CheckFailed, $"prevResult has no interface {variables.IfName} in a sandbox");
        var ips = result.List("ips").ToLookup(ip => ip.Number("interface"));
        var previous = new IpamResult([.. own.SelectMany(number => ips[number]).Select(IpamAddress.Read)], Dns: null);
        ipam.Check(previous.Hosts, deadline);
        Ask(
            request with
            {
                Addresses = previous.Addresses,
                LooseAddresses = [.. ips[null].Select(IpamAddress.Read)],
                PreviousMac = own.Select(number => interfaces[number].Text("mac")).FirstOrDefault(mac => mac.Length > 0, ""),
                Mac = configuration.ReadMac(args.Mac),
                Bandwidth = configuration.ReadBandwidth(),
            },
            connectBy: default,
            deadline);
    }

    /// <summary>GC: both forget what is not in the list. One's failure does not keep the other from trying.</summary>
    public void Gc()
    {
        if (configuration.ValidAttachments is not { } valid)
            return;
        var failures = new List<CniException>();
        Action[] steps =
        [
            () => Ask(request with { ValidAttachments = valid, Grace = (int)environment.GcGrace.TotalSeconds }, connectBy: default, deadline.Part(AgentPart)),
            () => ipam.Gc(valid, deadline),
        ];
        foreach (var step in steps)
        {
            try
            {
                step();
            }
            catch (CniException failure)
            {
                failures.Add(failure);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or TimeoutException)
            {
                failures.Add(new(CniErrorCode.Io, failure.Message));
            }
        }

        if (failures is [var first, ..])
            throw failures.Count == 1 ? first : new CniException(first.Code, string.Join("; ", failures.Select(failure => failure.Message)), string.Join("; ", failures.Select(failure => failure.Details)));
    }

    /// <summary>STATUS: whether ADD could be served now, or as soon as an agent that is being restarted is back.</summary>
    public void Status()
    {
        var answer = agent.Ask(request, connectBy: default, deadline.Part(AgentPart), meanwhile: null, out var whyNot);
        if (answer?.Error is { } error)
            throw new CniException(error);
        if (answer is null)
            AgentHeartbeat.Require(configuration.Socket, whyNot);
        try
        {
            ipam.Status(deadline);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or CniException { Code: CniErrorCode.Io or CniErrorCode.TryAgainLater })
        {
            throw new CniException(CniErrorCode.NotAvailable, $"no address can be given away: {failure.Message}");
        }
    }

    private AgentResponse? TryUnwire(AgentRequest delete, Deadline answerBy)
    {
        var answer = agent.Ask(delete, connectBy: default, answerBy, meanwhile: null, out _);
        return answer?.Error is { } error ? throw new CniException(error) : answer;
    }

    /// <summary>The agent's answer, which is no error.</summary>
    private AgentResponse Ask(AgentRequest question, Deadline connectBy, Deadline answerBy, Action? meanwhile = null)
    {
        var answer = agent.Ask(question, connectBy, answerBy, meanwhile, out var whyNot)
            ?? throw new CniException(CniErrorCode.TryAgainLater, whyNot, AgentClient.Remedy);
        return answer.Error is { } error ? throw new CniException(error) : answer;
    }
}
