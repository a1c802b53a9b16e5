using System.Text;
using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Compile;

/// <summary>Names of chains, and comments: readable, made of what nft(8) reads in an identifier, and never longer than <see cref="MaxLength"/>.</summary>
internal static class ChainName
{
    /// <summary>Characters of a name at most; the kernel allows 255 bytes. A comment holds at most 128 bytes (nft's NFTNL_UDATA_COMMENT_MAXLEN).</summary>
    public const int MaxLength = 128;

    /// <summary><c>policy-HASH-NAMESPACE/NAME-in</c>; the hash, over the whole name, keeps cut names apart.</summary>
    public static string OfPolicy(NamespacedName policy, Direction direction)
    {
        var head = $"policy-{ContentHash.Of(ContentHash.Short, [policy.Namespace, policy.Name])}-";
        var tail = $"-{Suffix(direction)}";
        return $"{head}{Cut(policy.ToString(), MaxLength - head.Length - tail.Length)}{tail}";
    }

    /// <summary><c>pods-in-HASH</c>: the chain of all pods that the same policies select; the hash is over what it goes through.</summary>
    public static string OfPods(PacketPath path, IEnumerable<string> parts) => $"pods-{Suffix(path)}-{ContentHash.Of(ContentHash.Long, parts)}";

    /// <summary><c>admin-in-HASH</c>: the policies of a tier that select the same pods; the hash is over their names in the order in which they are asked.</summary>
    public static string OfTier(Tier tier, Direction direction, IEnumerable<string> policies) =>
        $"{tier.ToString().ToLowerInvariant()}-{Suffix(direction)}-{ContentHash.Of(ContentHash.Long, policies)}";

    /// <summary><c>shop/allow-web ingress[0]</c>, and the rule's own name behind it: the rule of a policy, for people who list the table.</summary>
    public static string Comment(NamespacedName policy, Direction direction, int rule, string name)
    {
        var tail = $" {direction.ToString().ToLowerInvariant()}[{rule}]";
        var comment = $"{Cut(policy.ToString(), MaxLength - tail.Length)}{tail}";
        return name.Length == 0 || comment.Length + 2 > MaxLength ? comment : $"{comment} {Cut(name, MaxLength - comment.Length - 1)}";
    }

    private static string Suffix(Direction direction) => direction == Direction.Ingress ? "in" : "out";

    private static string Suffix(PacketPath path) => path switch
    {
        PacketPath.Ingress => "in",
        PacketPath.Egress => "out",
        PacketPath.Host => "host",
        _ => "hairpin",
    };

    // The API server admits only these characters in names; a folder of manifests may hold anything.
    private static string Cut(string name, int length)
    {
        var text = new StringBuilder(name, 0, Math.Min(name.Length, length), 0);
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsAsciiLetterOrDigit(text[i]) && text[i] is not ('-' or '.' or '/'))
                text[i] = '_';
        }

        return text.ToString();
    }
}
