using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Compile;

/// <summary>The verdict under each local address in the dispatch maps.</summary>
internal sealed class PodDispatch(Dictionary<string, KeyedSet> maps)
{
    private readonly Dictionary<InetAddress, List<LocalPod>> _claims = [];

    /// <summary>A pod has an address.</summary>
    public void Claim(InetAddress address, LocalPod pod)
    {
        if (!_claims.TryGetValue(address, out var pods))
            _claims[address] = pods = [];
        pods.Add(pod);
        Refresh(address);
    }

    /// <summary>A pod no longer has an address.</summary>
    public void Release(InetAddress address, LocalPod pod)
    {
        var pods = _claims[address];
        pods.Remove(pod);
        if (pods.Count == 0)
            _claims.Remove(address);
        Refresh(address);
    }

    /// <summary>The verdicts of a pod that has the address may have changed.</summary>
    public void Refresh(InetAddress address)
    {
        var key = ElementKey.Of(address);
        var pods = _claims.GetValueOrDefault(address);
        foreach (var path in Enum.GetValues<PacketPath>())
            Write(BaseChains.Dispatch(path, address.Family), key, pods, path);
    }

    // Whose packets are those of an address that two pods have? Nobody's: dropped, until one of the two is gone. And so are those of a pod that is rejected.
    private void Write(string map, ElementKey key, List<LocalPod>? pods, PacketPath path)
    {
        var verdict = pods is null ? null : pods is [{ Pod.IsRejected: false } pod] ? pod.Group[path].Verdict : Verdict.Drop;
        if (verdict is { } known)
            maps[map].Put(Element.Of(key, known));
        else
            maps[map].Remove(key);
    }
}
