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
        Write(BaseChains.DispatchIngress(address.Family), key, pods, Direction.Ingress);
        Write(BaseChains.DispatchEgress(address.Family), key, pods, Direction.Egress);
    }

    // Whose packets are those of an address that two pods have? Nobody's: dropped, until one of the two is gone.
    private void Write(string map, ElementKey key, List<LocalPod>? pods, Direction direction)
    {
        if (pods is null)
            maps[map].Remove(key);
        else
            maps[map].Put(Element.Of(key, pods.Count == 1 ? pods[0].Group.Verdict(direction) : Verdict.Drop));
    }
}
