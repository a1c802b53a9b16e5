using Overlay.CniShim.Protocol;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Kernel;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;
using Serilog;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>
/// What the agent does for each verb of the plugin: isolate, then wire, then answer. Every step of ADD that took effect is undone when a later one
/// fails; the plugin gives the addresses back on its side, whatever happens here. Runs on the agent's loop.
/// </summary>
/// <param name="dataplane">The node.</param>
/// <param name="wiring">Makes and removes interface pairs.</param>
/// <param name="check">Looks at what was made.</param>
/// <param name="attachments">What is wired, across restarts.</param>
/// <param name="pending">DELs that wait for the agent.</param>
/// <param name="statuses">Where other nodes read pods' addresses; null when the datastore learns them itself.</param>
/// <param name="log">Where events go.</param>
internal sealed class CniVerbs(NodeDataplane dataplane, PodWiring wiring, PodCheck check, AttachmentFolder attachments, PendingDeletes pending, PodStatusFolder? statuses, ILogger log)
{
    // Longer than any plugin lives: see its deadlines.
    private static readonly TimeSpan DeleteMemory = TimeSpan.FromMinutes(2);

    // Of a ruleset that is gone every rule is missing.
    private const int MostToTell = 3;
    private const long NanosecondsPerSecond = 1_000_000_000;

    // When the last DEL of an attachment was done (BootClock), for as long as an ADD that began before it may still come.
    private readonly Dictionary<AttachmentKey, long> _deleted = [];

    /// <summary>Does what is asked and says how it went. Never throws for what the plugin sent or the kernel refused.</summary>
    /// <param name="request">What is asked.</param>
    /// <param name="clientGone">Nobody waits for the answer any more.</param>
    /// <param name="fetched">The pod, when the datastore was asked for it.</param>
    public AgentResponse Answer(AgentRequest request, CancellationToken clientGone, ClusterChange.PodSet? fetched = null)
    {
        var response = request.Command switch
        {
            "ADD" when clientGone.IsCancellationRequested => AgentError.Answer(CniErrorCode.TryAgainLater, "The plugin hung up before its turn came."),
            "ADD" => Add(request, fetched),
            "DEL" => Delete(request, BootClock.Now),
            "CHECK" => Check(request),
            "GC" => Collect(request),
            "STATUS" => Status(),
            _ => AgentError.Answer(CniErrorCode.InvalidEnvironment, $"unknown CNI_COMMAND: {request.Command}"),
        };
        if (response.Error is { } error)
            Log.CniRefused(log, request.Command, request.ContainerId, error.Msg);
        return response;
    }

    /// <summary>Does the DELs that wait as files; one that fails waits on.</summary>
    public void Replay()
    {
        var requests = pending.Read(out var broken);
        foreach (var reason in broken)
            Log.PendingDeleteUnreadable(log, reason);
        foreach (var request in requests)
            Replay(request);
        var forgotten = BootClock.Now - (long)DeleteMemory.TotalNanoseconds;
        foreach (var (key, _) in _deleted.Where(deleted => deleted.Value < forgotten).ToList())
            _deleted.Remove(key);
    }

    private AgentResponse Replay(AgentRequest request)
    {
        var answer = Delete(request, request.Began);
        if (answer.Error is { } error)
            Log.CniRefused(log, request.Command, request.ContainerId, error.Msg);
        else
            pending.Remove(KeyOf(request));
        return answer;
    }

    private AgentResponse Add(AgentRequest request, ClusterChange.PodSet? fetched)
    {
        if (Yield(request) is { } outlived)
            return outlived;
        if (Read(request, out var attachment) is { } refused)
            return refused;

        var undo = new Stack<Action>();
        try
        {
            undo.Push(() => Publish(attachment.Pod));
            undo.Push(() => Disconnect(attachment, isWired: false));
            dataplane.Attach(attachment, fetched);
            undo.Push(() => Forget(attachment.Key));
            dataplane.CommitPolicy();
            Fault.Pass(FaultPoint.AgentPolicyCommitted);
            undo.Push(() => wiring.Unwire(attachment.HostInterface));
            wiring.Wire(attachment, dataplane.Mtu);
            wiring.Route(attachment);
            Fault.Pass(FaultPoint.AgentRouted);
            Disconnect(attachment, isWired: true);
            Publish(attachment.Pod);
            Fault.Pass(FaultPoint.AgentPublished);

            // Last: should this process end before, its successor knows nothing of this pod and removes what there is of it, as the plugin, which has no answer, gives the addresses back.
            undo.Push(() => attachments.Delete(attachment.Key));
            attachments.Write(attachment);
            Fault.Pass(FaultPoint.AgentAttachmentWritten);
        }
        catch (Exception e) when (e is NetlinkException or NftablesException or NetnsException or IOException or UnauthorizedAccessException or KernelLacksException)
        {
            Undo(undo);
            return e is KernelLacksException
                ? AgentError.Answer(CniErrorCode.UnsupportedField, $"runtimeConfig.bandwidth of pod {attachment.Pod}: {e.Message}")
                : AgentError.Answer(CniErrorCode.Io, $"pod {attachment.Pod} could not be wired: {e.Message}");
        }

        Log.PodWired(log, attachment.Pod.ToString(), string.Join(' ', attachment.Addresses), attachment.HostInterface);
        if (dataplane.Store.Pod(attachment.Pod) is var pod && (pod is not { IsRejected: false } || !attachment.Addresses.All(pod.Addresses.Contains)))
            Log.PodIsolated(log, attachment.Pod.ToString());
        return Wired(attachment);
    }

    // Once the plugin has given the addresses back for a DEL, an ADD that obtained its own before must not be wired with them.
    private AgentResponse? Yield(AgentRequest request)
    {
        var key = KeyOf(request);
        if (pending.Find(key) is { } queued && Replay(queued) is { Error: not null } failed)
            return failed;
        return request.Began > 0 && _deleted.TryGetValue(key, out var deleted) && request.Began <= deleted
            ? AgentError.Answer(CniErrorCode.TryAgainLater, $"container {request.ContainerId} was deleted while this ADD of its interface {request.IfName} was under way")
            : null;
    }

    /// <param name="request">The DEL.</param>
    /// <param name="done">An ADD that began up to this moment is too late.</param>
    private AgentResponse Delete(AgentRequest request, long done)
    {
        var key = KeyOf(request);

        // It means a predecessor of the same name: it waited in a file or in our queue, or was put there because an ADD's answer did not arrive.
        if (dataplane.Store.Attachment(key) is { } attachment && request.Began > 0 && request.Began < attachment.Created)
        {
            Log.DeleteStale(log, attachment.Pod.ToString(), request.ContainerId);
            return AgentResponse.Stale;
        }

        var answer = Delete(key);
        if (answer.Error is not null)
            return answer;
        _deleted[key] = Math.Max(done, _deleted.GetValueOrDefault(key));
        pending.Remove(key);
        return answer;
    }

    /// <summary>Removes an attachment: interface, policy, file and status; nothing there is fine. The addresses are not given back here.</summary>
    public AgentResponse Delete(AttachmentKey key)
    {
        var attachment = dataplane.Store.Attachment(key);
        var device = attachment?.HostInterface ?? Ownership.PodInterface(key.ContainerId, key.IfName);
        try
        {
            wiring.Unwire(device);
            Fault.Pass(FaultPoint.AgentPairRemoved);
            attachments.Delete(key);
            Fault.Pass(FaultPoint.AgentAttachmentDeleted);
            if (attachment is null)
                return AgentResponse.Done;
            Forget(key);
            Fault.Pass(FaultPoint.AgentPodForgotten);
            Disconnect(attachment, isWired: false);
            Publish(attachment.Pod);
            Fault.Pass(FaultPoint.AgentWithdrawn);
        }
        catch (Exception e) when (e is NetlinkException or IOException or UnauthorizedAccessException)
        {
            return AgentError.Answer(CniErrorCode.Io, $"interface {device} of container {key.ContainerId} could not be removed: {e.Message}");
        }

        Log.PodUnwired(log, attachment.Pod.ToString(), device);
        return AgentResponse.Done;
    }

    // CNI spec, GC: everything of this network that the runtime does not know any more; one that fails stops no other.
    private AgentResponse Collect(AgentRequest request)
    {
        var valid = request.ValidAttachments.Select(attachment => new AttachmentKey(attachment.ContainerId, attachment.IfName)).ToHashSet();
        var youngest = BootClock.Now - (request.Grace * NanosecondsPerSecond); // another runtime of this host may just be adding it
        var stale = dataplane.Store.Attachments
            .Where(attachment => attachment.Network == request.Network && !valid.Contains(attachment.Key) && attachment.Created <= youngest)
            .Select(attachment => attachment.Key).ToList();
        var errors = stale.Select(key => Delete(key).Error?.Msg).OfType<string>().ToList();
        return errors.Count == 0 ? AgentResponse.Done : AgentError.Answer(CniErrorCode.Io, string.Join("; ", errors));
    }

    private AgentResponse Check(AgentRequest request)
    {
        if (dataplane.Store.Attachment(KeyOf(request)) is not { } attachment)
            return AgentError.Answer(CniErrorCode.CheckFailed, $"container {request.ContainerId} has no interface {request.IfName} that this agent wired");
        try
        {
            List<string> damage = [.. PodCheck.Disagreements(request, attachment), .. check.Damage(request, attachment), .. dataplane.VerifyPolicy().Take(MostToTell)];
            return damage.Count == 0
                ? AgentResponse.Done
                : AgentError.Answer(CniErrorCode.CheckFailed, $"interface {request.IfName} of pod {attachment.Pod} is damaged: {string.Join("; ", damage)}");
        }
        catch (Exception e) when (e is NetlinkException or NetnsException)
        {
            return AgentError.Answer(CniErrorCode.CheckFailed, $"interface {request.IfName} of pod {attachment.Pod} cannot be checked: {e.Message}");
        }
    }

    // CNI spec, STATUS: 50 when ADD cannot be served, 51 when moreover pods that are there have limited connectivity.
    private AgentResponse Status()
    {
        if (dataplane.PodCidrs.Count == 0)
            return AgentError.Answer(CniErrorCode.NotAvailable, "this node has no podCIDRs yet: its Node object is missing or has none, and podCIDRs is not configured");
        try
        {
            attachments.Probe();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return AgentError.Answer(CniErrorCode.NotAvailable, $"no pod can be wired, as stateDir cannot be written: {e.Message}");
        }

        var unready = dataplane.Status().Unready;
        return unready.Count == 0 ? AgentResponse.Done : AgentError.Answer(CniErrorCode.LimitedConnectivity, string.Join(' ', unready));
    }

    // One clear refusal before anything is touched, or the attachment to be.
    private AgentResponse? Read(AgentRequest request, out Attachment attachment)
    {
        var addresses = new List<InetAddress>();
        attachment = new(
            request.ContainerId,
            request.IfName,
            request.PodName.Length > 0 ? new(request.PodNamespace, request.PodName) : new("", request.ContainerId),
            request.PodUid,
            request.Netns,
            Ownership.PodInterface(request.ContainerId, request.IfName),
            MacAddress.TryParse(request.Mac, out var mac) ? mac : Ownership.PodMac(request.ContainerId, request.IfName),
            [],
            request.Network) { Created = BootClock.Now, AddressFolder = request.AddressFolder, Delegation = request.Delegation };
        if (dataplane.Store.Attachment(attachment.Key) is not null)
            return AgentError.Answer(CniErrorCode.Io, $"container {request.ContainerId} already has interface {request.IfName}; DEL it before another ADD");
        if (request.Mac.Length > 0 && attachment.PodMac.ToString() != request.Mac)
            return AgentError.Answer(CniErrorCode.InvalidConfiguration, $"the Ethernet address asked for, '{request.Mac}', is none; expected six octets such as 02:00:5e:10:00:01");
        if (BandwidthLimits.Read(request.Bandwidth, dataplane.Mtu, out var ingress, out var egress) is { } excess)
            return AgentError.Answer(CniErrorCode.InvalidConfiguration, $"runtimeConfig.bandwidth: {excess}");
        foreach (var text in request.Addresses.Select(address => address.Address))
        {
            if (!Cidr.TryParse(text, out var address))
                return AgentError.Answer(CniErrorCode.InvalidConfiguration, $"IPAM gave '{text}', which is no address with a prefix length");
            if (addresses.Contains(address.Address))
                return AgentError.Answer(CniErrorCode.InvalidConfiguration, $"IPAM gave {address.Address} twice");
            if (dataplane.Store.HolderOf(address.Address) is { } holder)
                return AgentError.Answer(CniErrorCode.InvalidConfiguration, $"IPAM gave {address.Address}, which pod {holder.Pod} (container {holder.ContainerId}) still has; DEL that container, or look for a second IPAM on this range");
            addresses.Add(address.Address);
        }

        if (addresses.Count == 0)
            return AgentError.Answer(CniErrorCode.InvalidConfiguration, "IPAM gave no address");
        if (HostPortClaims.Read(request.PortMappings, addresses, dataplane.Store.Attachments, dataplane.VxlanPort, out var hostPorts) is { } fault)
            return AgentError.Answer(CniErrorCode.InvalidConfiguration, $"runtimeConfig.portMappings: {fault}");
        attachment = attachment with { Addresses = addresses.ToEquatableArray(), HostPorts = hostPorts, Ingress = ingress, Egress = egress };
        return null;
    }

    private AgentResponse Wired(Attachment attachment) => new()
    {
        Wired = new()
        {
            HostInterface = attachment.HostInterface,
            HostMac = Ownership.HostMac.ToString(),
            PodMac = attachment.PodMac.ToString(),
            Mtu = dataplane.Mtu,
            Gateways = attachment.Addresses.Select(address => address.Family).Distinct().Select(family => Ownership.Gateway(family).ToString()).ToList(),
        },
    };

    private static AttachmentKey KeyOf(AgentRequest request) => new(request.ContainerId, request.IfName);

    private void Publish(NamespacedName pod) => statuses?.Publish(pod, dataplane.Store.AttachmentsOf(pod));

    /// <summary>Ends UDP connections to host ports of a pod that lead elsewhere; or, when it is gone, those that lead to it. What cannot be ended is logged: it ends by itself when its sender pauses.</summary>
    public void Disconnect(Attachment attachment, bool isWired)
    {
        try
        {
            wiring.Disconnect(attachment, isWired);
        }
        catch (NetlinkException e)
        {
            Log.HostPortFlowsKept(log, attachment.Pod.ToString(), e.Message);
        }
    }

    // The interface is gone or was never there; what the commit cannot remove now, the next one will.
    private void Forget(AttachmentKey key)
    {
        dataplane.Detach(key);
        dataplane.Commit();
    }

    private void Undo(Stack<Action> steps)
    {
        while (steps.TryPop(out var step))
        {
            try
            {
                step();
                Fault.Pass(FaultPoint.AgentStepUndone);
            }
            catch (Exception e) when (e is NetlinkException or NftablesException or IOException or UnauthorizedAccessException)
            {
                Log.UndoFailed(log, e.Message);
            }
        }
    }
}
