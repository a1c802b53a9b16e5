using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>What IPAM gave a pod.</summary>
/// <param name="Addresses">Each with the prefix length of its range and the range's gateway.</param>
/// <param name="Dns">dns of a delegated plugin's result; null when there was none.</param>
internal sealed record IpamResult(IReadOnlyList<IpamAddress> Addresses, JsonElement? Dns)
{
    /// <summary>The addresses alone.</summary>
    /// <exception cref="CniException">With code 6: a delegated plugin gave something else.</exception>
    public IReadOnlyList<InetAddress> Hosts => [.. Addresses.Select(given => Cidr.TryParse(given.Address, out var cidr)
        ? cidr.Address
        : throw new CniException(CniErrorCode.Decoding, $"IPAM gave \"{given.Address}\", which is not an address with a prefix length"))];
}

/// <summary>Where the pod's addresses come from: the built-in allocator, or the plugin that <c>ipam.type</c> names.</summary>
internal interface IIpam
{
    /// <summary>Obtains addresses; all or none.</summary>
    IpamResult Add(Deadline deadline);

    /// <summary>Adds to an ADD what the agent needs to give the addresses back when no runtime ever DELs.</summary>
    AgentRequest Describe(AgentRequest add);

    /// <summary>Waits until what <see cref="Add"/> obtained would survive a power cut.</summary>
    void Persist();

    /// <summary>Gives back what <see cref="Add"/> obtained.</summary>
    void Undo(Deadline deadline);

    /// <summary>Notes what the attachment has, before the agent is asked to unwire it: an ADD that follows at once may reserve for the same attachment before <see cref="Del"/>, which leaves that alone.</summary>
    void Look()
    {
    }

    /// <summary>Gives back whatever the attachment has; nothing is fine.</summary>
    void Del(Deadline deadline);

    /// <summary>Whether the attachment still has <paramref name="addresses"/>.</summary>
    void Check(IReadOnlyList<InetAddress> addresses, Deadline deadline);

    /// <summary>Gives back what belongs to none of <paramref name="valid"/>.</summary>
    void Gc(IReadOnlyList<Attachment> valid, Deadline deadline);

    /// <summary>Whether <see cref="Add"/> can be served.</summary>
    void Status(Deadline deadline);
}
