using Overlay.CniShim.Protocol;

namespace Overlay.CniShim.Spec;

/// <summary>CNI_ARGS: <c>KEY=VALUE;KEY=VALUE</c> in any order; containerd takes them from a map.</summary>
internal sealed record CniArgs
{
    /// <summary>K8S_POD_NAMESPACE, or empty.</summary>
    public string PodNamespace { get; private set; } = "";

    /// <summary>K8S_POD_NAME, or empty.</summary>
    public string PodName { get; private set; } = "";

    /// <summary>K8S_POD_UID, or empty.</summary>
    public string PodUid { get; private set; } = "";

    /// <summary>IP: the addresses asked for, or none.</summary>
    public IReadOnlyList<string> IP { get; private set; } = [];

    /// <summary>MAC: the Ethernet address asked for, or empty.</summary>
    public string Mac { get; private set; } = "";

    /// <summary>Decodes it.</summary>
    /// <param name="text">CNI_ARGS.</param>
    /// <param name="lenient">Whether to pass over what is wrong: DEL has to succeed.</param>
    /// <exception cref="CniException">With code 4: a pair without =, or a key that nobody knows and no IgnoreUnknown.</exception>
    public static CniArgs Parse(string text, bool lenient)
    {
        var args = new CniArgs();
        var unknown = new List<string>();
        var ignoreUnknown = lenient;
        foreach (var pair in text.Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0 && !lenient)
                throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_ARGS: invalid pair \"{pair}\"");
            var value = pair[(equals + 1)..];
            switch (equals < 0 ? "" : pair[..equals])
            {
                case "IgnoreUnknown":
                    ignoreUnknown |= value.ToUpperInvariant() is "1" or "T" or "TRUE";
                    break;
                case "K8S_POD_NAMESPACE":
                    args.PodNamespace = value;
                    break;
                case "K8S_POD_NAME":
                    args.PodName = value;
                    break;
                case "K8S_POD_UID":
                    args.PodUid = value;
                    break;
                case "K8S_POD_INFRA_CONTAINER_ID":
                    break;
                case "IP":
                    args.IP = value.Split(',', StringSplitOptions.RemoveEmptyEntries);
                    break;
                case "MAC":
                    args.Mac = value;
                    break;
                default:
                    unknown.Add(pair);
                    break;
            }
        }

        return unknown.Count == 0 || ignoreUnknown
            ? args
            : throw new CniException(CniErrorCode.InvalidEnvironment, $"CNI_ARGS: unknown args [{string.Join(' ', unknown.Select(pair => $"\"{pair}\""))}]");
    }
}
