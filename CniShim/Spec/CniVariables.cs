using System.Globalization;
using System.Text;
using Overlay.CniShim.Protocol;

namespace Overlay.CniShim.Spec;

/// <summary>The CNI_* variables of one call. libcni sets them all, possibly empty: empty is absent.</summary>
internal sealed record CniVariables
{
    private const int IfNameBytes = 15; // IFNAMSIZ without the NUL

    /// <summary>CNI_COMMAND.</summary>
    public required string Command { get; init; }

    /// <summary>CNI_CONTAINERID; empty for GC and STATUS.</summary>
    public required string ContainerId { get; init; }

    /// <summary>CNI_NETNS; may be empty for DEL.</summary>
    public required string Netns { get; init; }

    /// <summary>CNI_IFNAME; empty for GC and STATUS.</summary>
    public required string IfName { get; init; }

    /// <summary>CNI_PATH: where plugins are.</summary>
    public required string Path { get; init; }

    /// <summary>CNI_ARGS, undecoded.</summary>
    public required string Args { get; init; }

    /// <summary>CNI_NETNS_OVERRIDE: the plugin's own namespace is meant.</summary>
    public required bool NetnsOverride { get; init; }

    /// <summary>When a DEL that the agent calls began (<see cref="Delegation.BeganVariable"/>); null when a runtime calls.</summary>
    public long? Began { get; init; }

    /// <summary>The two that name the attachment.</summary>
    public Attachment Attachment => new(ContainerId, IfName);

    /// <summary>Reads and checks them.</summary>
    /// <param name="command">CNI_COMMAND; not VERSION, which needs none.</param>
    /// <param name="variable">One variable; null when absent.</param>
    /// <exception cref="CniException">With code 4: one is missing or wrong.</exception>
    public static CniVariables Read(string command, Func<string, string?> variable)
    {
        string[] required = command switch
        {
            "ADD" or "CHECK" => ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
            "DEL" => ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
            "GC" or "STATUS" => ["CNI_PATH"],
            _ => throw new CniException(CniErrorCode.InvalidEnvironment, $"unknown CNI_COMMAND: {command}"),
        };
        var missing = required.Where(name => string.IsNullOrEmpty(variable(name))).ToArray();
        if (missing.Length > 0)
            throw new CniException(CniErrorCode.InvalidEnvironment, $"required env variables [{string.Join(',', missing)}] missing");

        var ofAttachment = command is not ("GC" or "STATUS");
        var variables = new CniVariables
        {
            Command = command,
            ContainerId = ofAttachment ? variable("CNI_CONTAINERID")! : "",
            Netns = ofAttachment ? variable("CNI_NETNS") ?? "" : "",
            IfName = ofAttachment ? variable("CNI_IFNAME")! : "",
            Path = variable("CNI_PATH")!,
            Args = variable("CNI_ARGS") ?? "",
            NetnsOverride = variable("CNI_NETNS_OVERRIDE")?.ToUpperInvariant() is "1" or "TRUE",
            Began = command == "DEL" && long.TryParse(variable(Delegation.BeganVariable), NumberStyles.None, CultureInfo.InvariantCulture, out var began) ? began : null,
        };
        if (ofAttachment)
            variables.CheckAttachment();
        return variables;
    }

    /// <summary>Whether <paramref name="text"/> is <c>^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$</c>: what container ids and network names are made of, and safe as a file's name.</summary>
    public static bool IsIdentifier(string text) =>
        text.Length > 0 && char.IsAsciiLetterOrDigit(text[0]) && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '_' or '.' or '-');

    private void CheckAttachment()
    {
        if (!IsIdentifier(ContainerId))
            throw new CniException(CniErrorCode.InvalidEnvironment, "invalid characters in containerID", ContainerId);
        if (Encoding.UTF8.GetByteCount(IfName) > IfNameBytes)
            throw new CniException(CniErrorCode.InvalidEnvironment, "interface name is too long", "interface name should be less than 16 characters");
        if (IfName is "." or "..")
            throw new CniException(CniErrorCode.InvalidEnvironment, "interface name is . or ..");
        if (IfName.Any(letter => letter is '/' or ':' || char.IsWhiteSpace(letter)))
            throw new CniException(CniErrorCode.InvalidEnvironment, "interface name contains / or : or whitespace characters", IfName);
    }
}
