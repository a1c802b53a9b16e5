using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Overlay.Dataplane.Operator;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Capture;

/// <summary>A packet for people and their tools: what <c>overlay capture</c> shows, and as JSON one line of its <c>-o json</c>.</summary>
internal sealed record NamedPacket
{
    private static NamedPacketJson Plain { get; } = new(new(NamedPacketJson.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>When the kernel had it (UTC); null for a quoted one.</summary>
    public DateTime? Time { get; init; }

    /// <summary>Name of the device; null for a quoted one.</summary>
    public string? Device { get; init; }

    /// <summary><c>in</c> or <c>out</c>: of the node; at a pod's interface, of the pod. Null for a quoted one.</summary>
    public string? Direction { get; init; }

    /// <summary>Who sent it; null when it has no address, or none is left of it.</summary>
    public PacketEnd? Source { get; init; }

    /// <summary>For whom it is; as <see cref="Source"/>.</summary>
    public PacketEnd? Destination { get; init; }

    /// <summary>As <see cref="DecodedPacket.Protocol"/>.</summary>
    public required string Protocol { get; init; }

    /// <summary>Of TCP; else null.</summary>
    public string? Flags { get; init; }

    /// <summary>Bytes, its IP header included.</summary>
    public int Length { get; init; }

    /// <summary>As <see cref="DecodedPacket.Detail"/>; null when there is nothing more to say.</summary>
    public string? Detail { get; init; }

    /// <summary>Of an ICMP error: what it is about.</summary>
    public NamedPacket? Quoted { get; init; }

    /// <summary>The tunnels it came in, outermost first; null when it came in none.</summary>
    public IReadOnlyList<NamedTunnel>? Tunnels { get; init; }

    /// <summary>Names what was read.</summary>
    public static NamedPacket Of(Frame frame, DecodedPacket packet, Func<InetAddress, NamedAddress> name) => Of(packet, name) with
    {
        Time = DateTime.UnixEpoch.AddTicks(frame.Time / TimeSpan.NanosecondsPerTick),
        Device = frame.Device,
        // What leaves the node by the host's end of a pod's pair goes into the pod.
        Direction = frame.IsOutgoing != frame.Device.StartsWith(RulesetOptions.PodInterfacePrefix, StringComparison.Ordinal) ? "out" : "in",
    };

    /// <summary>As JSON, one line without line feed.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, Plain.NamedPacket);

    private static NamedPacket Of(DecodedPacket packet, Func<InetAddress, NamedAddress> name)
    {
        PacketEnd? End(InetAddress? address, ushort? port) => address is { } known ? Name(name(known), port) : null;
        return new()
        {
            Source = End(packet.Source, packet.SourcePort),
            Destination = End(packet.Destination, packet.DestinationPort),
            Protocol = packet.Protocol,
            Flags = packet.Flags.Length > 0 ? packet.Flags : null,
            Length = packet.Length,
            Detail = packet.Detail.Length > 0 ? packet.Detail : null,
            Quoted = packet.Quoted is { } quoted ? Of(quoted, name) : null,
            Tunnels = packet.Tunnels.Count == 0 ? null : [.. packet.Tunnels.Select(tunnel => new NamedTunnel(tunnel.Encapsulation, tunnel.Vni, Name(name(tunnel.Source), null), Name(name(tunnel.Destination), null)))],
        };
    }

    private static PacketEnd Name(NamedAddress name, ushort? port) => new(name.Address, port, name.Pod, name.Node);
}

/// <summary>One end of a packet's way.</summary>
/// <param name="Address">Its address.</param>
/// <param name="Port">Its port, or null.</param>
/// <param name="Pod">namespace/name of the pod that has the address, or null.</param>
/// <param name="Node">Name of the node that has it, or that the pod runs on; null when that is not known.</param>
internal sealed record PacketEnd(string Address, int? Port, string? Pod, string? Node);

/// <summary>The header of a tunnel's packet.</summary>
/// <param name="Encapsulation"><c>vxlan</c>, <c>ipip</c>, <c>sit</c> or <c>ip6tnl</c>.</param>
/// <param name="Vni">Of VXLAN, or null.</param>
/// <param name="Source">The node that put it in.</param>
/// <param name="Destination">The node that takes it out.</param>
internal sealed record NamedTunnel(string Encapsulation, uint? Vni, PacketEnd Source, PacketEnd Destination);

/// <summary>Source-generated JSON, camelCase.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(NamedPacket))]
internal sealed partial class NamedPacketJson : JsonSerializerContext;
