using System.Globalization;
using System.Text;

namespace Overlay.Dataplane.Capture;

/// <summary>A packet as one line: <c>21:03:11.402113 out shop/web:43512 → shop/db:5432 tcp [S] 60 (vxlan 4096, node-1 → node-2)</c>. Pure.</summary>
internal static class PacketText
{
    /// <summary>Prints, without line feed.</summary>
    /// <param name="packet">What to print.</param>
    /// <param name="zone">Whose time.</param>
    /// <param name="withDevice">Whether packets of several devices are shown.</param>
    public static string Line(NamedPacket packet, TimeZoneInfo zone, bool withDevice)
    {
        var line = new StringBuilder();
        line.Append(CultureInfo.InvariantCulture, $"{TimeZoneInfo.ConvertTimeFromUtc(packet.Time ?? DateTime.UnixEpoch, zone):HH:mm:ss.ffffff} ");
        if (withDevice)
            line.Append(packet.Device).Append(' ');
        line.Append((packet.Direction ?? "").PadRight(3)).Append(' ');
        Headers(line, packet);
        if (packet.Quoted is { } quoted)
            Headers(line.Append(", about "), quoted);
        foreach (var tunnel in packet.Tunnels ?? [])
            line.Append(CultureInfo.InvariantCulture, $" ({tunnel.Encapsulation}{(tunnel.Vni is { } vni ? string.Create(CultureInfo.InvariantCulture, $" {vni}") : "")}, {Name(tunnel.Source)} → {Name(tunnel.Destination)})");
        return line.ToString();
    }

    private static void Headers(StringBuilder line, NamedPacket packet)
    {
        if (packet.Source is not null && packet.Destination is not null)
            line.Append(Name(packet.Source)).Append(" → ").Append(Name(packet.Destination)).Append(' ');
        line.Append(packet.Protocol);
        if (packet.Flags is not null)
            line.Append(" [").Append(packet.Flags).Append(']');
        line.Append(CultureInfo.InvariantCulture, $" {packet.Length}");
        if (packet.Detail is not null)
            line.Append(", ").Append(packet.Detail);
    }

    // An IPv6 address before a port is in brackets.
    private static string Name(PacketEnd end)
    {
        var name = end.Pod ?? end.Node ?? (end.Port is not null && end.Address.Contains(':', StringComparison.Ordinal) ? $"[{end.Address}]" : end.Address);
        return end.Port is { } port ? string.Create(CultureInfo.InvariantCulture, $"{name}:{port}") : name;
    }
}
