using System.Text;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Installation;

/// <summary>The systemd unit of the agent (systemd.service(5), systemd.exec(5)): it may write its own folders and the network, and nothing else.</summary>
/// <param name="program">Path of <c>overlay</c>.</param>
/// <param name="configuration">Says which folders.</param>
internal sealed class SystemdUnit(string program, OverlayConfiguration configuration)
{
    /// <summary>The unit's name.</summary>
    public const string Name = "overlay.service";

    /// <summary>The file begins with it: by this an installed unit is known as ours.</summary>
    public const string FirstLine = "# Written by overlay install, and by the next one again: changes belong into a drop-in (systemctl edit overlay).";

    private const string Body = """
        # The folders below are those of the configuration when it was written; after a change of them: overlay install.
        [Unit]
        Description=Overlay, the pod network of this Kubernetes node
        Documentation=man:overlay(8) man:overlay-agent(8)
        After=network.target
        # However often it fails: the node needs it, and the kernel goes on forwarding meanwhile.
        StartLimitIntervalSec=0

        [Service]
        # Ready once the node serves. While it waits for the API server it asks for more time; one that hangs does not.
        Type=notify
        NotifyAccess=main
        ExecStart=@program@ agent
        ExecReload=/bin/kill -HUP $MAINPID
        TimeoutStartSec=90
        TimeoutStopSec=30
        WatchdogSec=60
        Restart=on-failure
        RestartSec=2
        # A wrong configuration does not get better by itself.
        RestartPreventExitStatus=2
        # Pods are no children of the agent; what it puts into the kernel stays when it stops.
        KillMode=mixed

        # Its folders. What stands beside the socket outlives a restart: DELs that came meanwhile.
        @folders@
        RuntimeDirectoryPreserve=yes
        ProtectSystem=strict
        ProtectHome=read-only
        PrivateTmp=yes
        PrivateDevices=yes

        # The network of this node; ICMP echo to other nodes; entering the network namespaces of pods; folders that belong to another user than root.
        CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_ADMIN CAP_DAC_OVERRIDE
        NoNewPrivileges=yes
        # Not ProtectKernelTunables: it turns net.ipv4.ip_forward on. Modules the kernel loads by itself.
        ProtectKernelModules=yes
        ProtectKernelLogs=yes
        ProtectControlGroups=yes
        ProtectClock=yes
        ProtectHostname=yes
        RestrictNamespaces=net
        RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
        RestrictRealtime=yes
        RestrictSUIDSGID=yes
        LockPersonality=yes
        SystemCallArchitectures=native
        SystemCallFilter=@system-service
        SystemCallErrorNumber=EPERM

        [Install]
        WantedBy=multi-user.target

        """;

    /// <summary>The text of the file.</summary>
    public string Text => FirstLine + "\n" + Body.ReplaceLineEndings("\n").Replace("@program@", program, StringComparison.Ordinal).Replace("@folders@", Folders(), StringComparison.Ordinal);

    /// <summary>Folders that the agent writes, and that systemd does not make; the unit goes without those that are not there.</summary>
    public IReadOnlyList<string> FoldersToMake => [.. Written.Where(folder => Below("/run", folder) is null && Below("/var/lib", folder) is null && Below("/etc", folder) is null)];

    private IEnumerable<string> Written =>
    [
        Path.GetDirectoryName(configuration.Socket)!, configuration.StateDir, configuration.CniIpamDir, configuration.CniConfDir,
        .. configuration.DatastoreDirectory is { } folder ? [folder] : (string[])[],
    ];

    // systemd makes its own kinds of folders, and lets the service write them; of those below /etc only the first.
    private string Folders()
    {
        var text = new StringBuilder();
        Append("RuntimeDirectory", Written.Select(folder => Below("/run", folder)));
        Append("StateDirectory", Written.Select(folder => Below("/var/lib", folder)));
        Append("ConfigurationDirectory", Written.Select(folder => Below("/etc", folder)));
        Append("ReadWritePaths", Written.Where(folder => Below("/run", folder) is null && Below("/var/lib", folder) is null).Select(folder => "-" + folder));
        return text.ToString().TrimEnd('\n');

        void Append(string key, IEnumerable<string?> values)
        {
            if (string.Join(' ', values.Where(value => value is not null).Distinct()) is { Length: > 0 } line)
                text.Append(key).Append('=').Append(line.Replace("%", "%%", StringComparison.Ordinal)).Append('\n');
        }
    }

    private static string? Below(string root, string folder) =>
        folder.StartsWith(root + "/", StringComparison.Ordinal) && !folder.Contains(' ', StringComparison.Ordinal) && folder.TrimEnd('/').Length > root.Length ? folder[(root.Length + 1)..].TrimEnd('/') : null;
}
