using System.Text;
using Overlay.CniShim.Ipam;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>The verbs: what is asked of IPAM and of the agent, in which order, and what is undone when one of them fails.</summary>
internal sealed class Verbs
{
    private readonly CniEnvironment environment;
    private readonly CniVariables variables;
    private readonly NetworkConfiguration configuration;
    private readonly AgentClient agent;
    private readonly IIpam ipam;
    private readonly CniArgs args;
    private readonly AgentRequest request;
    private readonly Deadline deadline;

    /// <summary>Prepares a call; nothing is touched yet.</summary>
    public Verbs(CniEnvironment environment, CniVariables variables, NetworkConfiguration configuration)
    {
        this.environment = environment;
        this.variables = variables;
        this.configuration = configuration;
        agent = new(configuration.Socket);
        args = CniArgs.Parse(variables.Args, lenient: variables.Command is "DEL" or "GC" or "STATUS");
        ipam = configuration.Ipam.Text("type") is { Length: > 0 } plugin
            ? new DelegatedIpam(plugin, configuration, variables, environment.Variable)
            : new BuiltInIpam(configuration, variables, args, environment.GcGrace);
        deadline = Deadline.In(variables.Command switch
        {
            "ADD" or "CHECK" => environment.Deadlines.Add,
            "STATUS" => environment.Deadlines.Status,
            _ => environment.Deadlines.Del,
        });
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
            Began = environment.Began,
        };
    }

    /// <summary>ADD: addresses, then wiring. When the wiring fails the addresses go back; the agent undoes its part by itself.</summary>
    public CniResult Add()
    {
        NetworkNamespace.Require(variables.Netns, environment.OwnNetns, variables.NetnsOverride);
        var wanted = request with
        {
            PortMappings = configuration.ReadPortMappings(),
            Mac = configuration.ReadMac(args.Mac),
            Bandwidth = configuration.ReadBandwidth(),
        };
        var given = ipam.Add(deadline);
        Fault.Pass(FaultPoint.ShimAddressesTaken);
        try
        {
            var answer = Ask(wanted with { Addresses = given.Addresses }, CniErrorCode.TryAgainLater, Deadline.In(environment.Deadlines.AgentStart));
            Fault.Pass(FaultPoint.ShimAddAnswered);
            return answer.Wired is { } wired
                ? new(configuration, variables, wired, given.Hosts, given.Dns)
                : throw new CniException(CniErrorCode.Decoding, $"the agent at {configuration.Socket} answered ADD with neither a result nor an error; install plugin and agent of one release");
        }
        catch
        {
            GiveBack(given);
            throw;
        }
    }

    // What goes wrong here must not hide why we are here; the runtime's DEL, or GC, will find what is left.
    private void GiveBack(IpamResult given)
    {
        try
        {
            ipam.Undo(given, Deadline.In(environment.Deadlines.Del));
        }
        catch (Exception error) when (error is CniException or IOException or UnauthorizedAccessException)
        {
            environment.Stderr.Write(Encoding.UTF8.GetBytes($"{string.Join(", ", given.Addresses.Select(address => address.Address))} could not be given back: {error.Message}\n"));
        }
    }

    /// <summary>DEL: unwiring, then the addresses. Succeeds when there is nothing to do, and without an agent: what it has to do then waits for it as a file.</summary>
    public void Del()
    {
        var delete = NetworkNamespace.IsOwn(variables.Netns, environment.OwnNetns) && !variables.NetnsOverride
            ? request with { Netns = "" } // the path was given to another process meanwhile; the agent knows its interface by the attachment
            : request;
        if (!TryUnwire(delete))
        {
            var pending = new DeleteQueue(configuration.Socket);
            pending.Add(delete);
            if (TryUnwire(delete)) // it may have come, and looked into the queue, just before the file was there
                pending.Remove(delete);
        }

        Fault.Pass(FaultPoint.ShimUnwired);
        ipam.Del(Deadline.In(environment.Deadlines.Del)); // not what a hanging agent has left of the time
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
        var previous = new IpamResult(
            [.. result.List("ips")
                .Where(ip => ip.Number("interface") is not { } number || own.Contains(number))
                .Select(IpamAddress.Read)],
            Dns: null);
        ipam.Check(previous.Hosts, deadline);
        Ask(
            request with { Addresses = previous.Addresses, Mac = configuration.ReadMac(args.Mac), Bandwidth = configuration.ReadBandwidth() }, CniErrorCode.TryAgainLater, deadline);
    }

    /// <summary>GC: both forget what is not in the list. One's failure does not keep the other from trying.</summary>
    public void Gc()
    {
        if (configuration.ValidAttachments is not { } valid)
            return;
        var failures = new List<CniException>();
        Action[] steps =
        [
            () => Ask(request with { ValidAttachments = valid, Grace = (int)environment.GcGrace.TotalSeconds }, CniErrorCode.TryAgainLater, connectBy: default),
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
        }

        if (failures is [var first, ..])
            throw failures.Count == 1 ? first : new CniException(first.Code, string.Join("; ", failures.Select(failure => failure.Message)), string.Join("; ", failures.Select(failure => failure.Details)));
    }

    /// <summary>STATUS: whether ADD could be served now.</summary>
    public void Status()
    {
        Ask(request, CniErrorCode.NotAvailable, connectBy: default);
        ipam.Status(deadline);
    }

    private bool TryUnwire(AgentRequest delete)
    {
        var answer = agent.Ask(delete, connectBy: default, deadline, out _);
        return answer?.Error is { } error ? throw new CniException(error) : answer is not null;
    }

    /// <summary>The agent's answer, which is no error.</summary>
    private AgentResponse Ask(AgentRequest question, int codeWithoutAnswer, Deadline connectBy)
    {
        var answer = agent.Ask(question, connectBy, deadline, out var whyNot)
            ?? throw new CniException(codeWithoutAnswer, whyNot, "is `overlay agent` running on this node, and does its `socket` agree with the conflist?");
        return answer.Error is { } error ? throw new CniException(error) : answer;
    }
}
