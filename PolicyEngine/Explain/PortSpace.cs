using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.PolicyEngine.Explain;

/// <summary>Protocols and destination ports cut wherever a rule of a policy or of a ruleset tells them apart: one of each stretch stands for all of it.</summary>
internal sealed class PortSpace
{
    private readonly SortedDictionary<byte, SortedSet<int>> _starts = [];
    private readonly Family _family;

    /// <summary>Transport protocols and the family's ICMP, not cut yet.</summary>
    public PortSpace(Family family)
    {
        _family = family;
        foreach (var protocol in (ReadOnlySpan<byte>)[Icmp, (byte)IpProtocol.Tcp, (byte)IpProtocol.Udp, (byte)IpProtocol.Sctp])
            _starts[protocol] = [0];
    }

    /// <summary>One (protocol, port) of each class, and one protocol that nothing names.</summary>
    public IEnumerable<(byte Protocol, ushort Port)> All
    {
        get
        {
            foreach (var (protocol, starts) in _starts)
            {
                foreach (var start in starts)
                    yield return (protocol, (ushort)start);
            }

            for (var other = Gre; other != Gre - 1; other++)
            {
                if (_starts.ContainsKey(other))
                    continue;
                yield return (other, 0);
                yield break;
            }
        }
    }

    private const byte Gre = 47;

    private byte Icmp => _family == Family.IPv4 ? Packet.Icmp : Packet.Icmpv6;

    /// <summary>A copy to cut further.</summary>
    public PortSpace Copy()
    {
        var copy = new PortSpace(_family);
        foreach (var (protocol, starts) in _starts)
            copy._starts[protocol] = [.. starts];
        return copy;
    }

    /// <summary>Cuts around the ports <paramref name="first"/> to <paramref name="last"/> of a protocol.</summary>
    public void Cut(byte protocol, ushort first, ushort last)
    {
        if (!_starts.TryGetValue(protocol, out var starts))
            _starts[protocol] = starts = [0];
        starts.Add(first);
        if (last < ushort.MaxValue)
            starts.Add(last + 1);
    }

    /// <summary>Cuts where the rules of policies do; names as <paramref name="resolve"/> says.</summary>
    public void Cut(IEnumerable<PolicyRule> rules, Func<PortMatch.Named, IEnumerable<ushort>> resolve)
    {
        foreach (var port in rules.SelectMany(rule => rule.Ports))
        {
            if (port is PortMatch.Numeric numbers)
                Cut((byte)numbers.Protocol, numbers.First, numbers.Last);
            if (port is PortMatch.Named name)
                Cut((byte)name.Protocol, resolve(name));
        }
    }

    /// <summary>Cuts where a ruleset's matches do, for packets between two addresses.</summary>
    public void Cut(RulesetReach reach, AddressSpace space, InetAddress source, InetAddress destination)
    {
        foreach (var match in reach.Matches)
        {
            switch (match)
            {
                case Match.DestinationPort port:
                    Cut((byte)port.Protocol, port.First, port.Last);
                    break;
                case Match.L4Protocol protocol:
                    Cut(protocol.Protocol, 0, ushort.MaxValue);
                    break;
                case Match.PortInSet set:
                    Cut(space.PortsOf(set.Set));
                    break;
                case Match.AddressPortInSet set when set.Family == source.Family:
                    Cut(space.PortsOf(set.Set, set.Side == Side.Saddr ? source : destination));
                    break;
            }
        }
    }

    private void Cut(byte protocol, IEnumerable<ushort> ports)
    {
        foreach (var port in ports)
            Cut(protocol, port, port);
    }

    private void Cut(IEnumerable<PortStretch> stretches)
    {
        foreach (var stretch in stretches)
            Cut(stretch.Protocol, stretch.First, stretch.Last);
    }
}

/// <summary>Ports of a protocol, first and last included.</summary>
internal readonly record struct PortStretch(byte Protocol, ushort First, ushort Last);
