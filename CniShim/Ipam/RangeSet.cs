using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>Ranges of one family, of which a pod gets one address.</summary>
/// <param name="Ranges">At least one; they do not overlap.</param>
internal sealed record RangeSet(IReadOnlyList<AddressRange> Ranges)
{
    /// <summary>Reads all range sets of a configuration: what the runtime asks for (<c>runtimeConfig.ipRanges</c>) first, then, of the families that it says nothing about, an
    /// old-style single subnet and <c>ranges</c>: a pod gets one address per family, so the runtime's wish takes the place of the configuration's. Their order is the order of the addresses in the result and the number in file names and errors.</summary>
    /// <exception cref="CniException">With code 7.</exception>
    public static IReadOnlyList<RangeSet> ReadAll(NetworkConfiguration configuration)
    {
        var sets = configuration.RuntimeConfig.List("ipRanges").Select(Read).ToList();
        var asked = sets.Select(set => set.Family).ToHashSet();
        var configured = configuration.Ipam.List("ranges").Select(Read).ToList();
        if (configuration.Ipam.Text("subnet").Length > 0)
            configured.Insert(0, new([AddressRange.Read(configuration.Ipam)]));
        sets.AddRange(configured.Where(set => !asked.Contains(set.Family)));
        if (sets.Count == 0)
            throw Invalid("no IP ranges specified (ipam.ranges); the agent writes them into its conflist");
        for (var later = 1; later < sets.Count; later++)
        {
            for (var earlier = 0; earlier < later; earlier++)
            {
                if (sets[later].Ranges.Any(range => sets[earlier].Ranges.Any(range.Overlaps)))
                    throw Invalid($"range set {earlier} overlaps with {later}");
            }
        }

        return sets;
    }

    /// <summary>The one family of its ranges.</summary>
    public Family Family => Ranges[0].Subnet.Family;

    /// <summary>The range that may give <paramref name="address"/>; null when none.</summary>
    public AddressRange? RangeOf(InetAddress address) => Ranges.FirstOrDefault(range => range.Contains(address));

    /// <summary><c>START-END,START-END</c>.</summary>
    public override string ToString() => string.Join(',', Ranges);

    private static RangeSet Read(JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Array || json.GetArrayLength() == 0)
            throw Invalid("each of ipam.ranges has to be a list of at least one range, such as [{\"subnet\": \"10.42.0.0/24\"}]");
        var ranges = json.EnumerateArray().Select(AddressRange.Read).ToArray();
        for (var later = 1; later < ranges.Length; later++)
        {
            if (ranges[later].Subnet.Family != ranges[0].Subnet.Family)
                throw Invalid("mixed address families in one range set");
            if (ranges[..later].FirstOrDefault(ranges[later].Overlaps) is { } other)
                throw Invalid($"subnets {other} and {ranges[later]} overlap");
        }

        return new(ranges);
    }

    private static CniException Invalid(string why) => new(CniErrorCode.InvalidConfiguration, $"invalid ipam configuration: {why}");
}
