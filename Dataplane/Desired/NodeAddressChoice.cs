using Overlay.PolicyEngine.Model;

namespace Overlay.Dataplane.Desired;

/// <summary><c>nodeAddress</c>: how this node's addresses for traffic between nodes are found, one of each family. A closed family.</summary>
public abstract record NodeAddressChoice
{
    private NodeAddressChoice()
    {
    }

    /// <summary><c>auto</c>: the Node's InternalIPs.</summary>
    public sealed record Auto : NodeAddressChoice;

    /// <summary>These.</summary>
    public sealed record Listed(EquatableArray<InetAddress> Addresses) : NodeAddressChoice;

    /// <summary><c>interface=</c>: those of the first of these devices that has any; a name may end in <c>*</c>.</summary>
    public sealed record OfDevices(EquatableArray<string> Names) : NodeAddressChoice;

    /// <summary><c>cidr=</c>: those within these prefixes, the first prefix first.</summary>
    public sealed record Within(EquatableArray<Cidr> Prefixes) : NodeAddressChoice;

    /// <summary><c>can-reach=</c>: the one from which the kernel would send to this address; of the other family, the first of the same device.</summary>
    public sealed record Reaching(InetAddress Target) : NodeAddressChoice;

    /// <summary>Reads the key's value; null when it is none. Names, prefixes and addresses are separated by commas.</summary>
    public static NodeAddressChoice? Parse(string text) => text.Split('=', 2) switch
    {
        ["auto"] => new Auto(),
        ["interface", { Length: > 0 } names] when names.Split(',', StringSplitOptions.TrimEntries) is var list && list.All(name => name.Length is > 0 and < 16) => new OfDevices(list.ToEquatableArray()),
        ["cidr", { Length: > 0 } prefixes] => ConfigurationKey.List<Cidr>(prefixes, Cidr.TryParse) is { } list ? new Within(list) : null,
        ["can-reach", { Length: > 0 } target] => InetAddress.TryParse(target, out var address) ? new Reaching(address) : null,
        [_] => ConfigurationKey.List<InetAddress>(text, InetAddress.TryParse) is { Count: > 0 } list ? new Listed(list) : null,
        _ => null,
    };

    /// <summary>As <see cref="Parse"/> reads it.</summary>
    public sealed override string ToString() => this switch
    {
        Listed listed => string.Join(',', listed.Addresses),
        OfDevices devices => $"interface={string.Join(',', devices.Names)}",
        Within within => $"cidr={string.Join(',', within.Prefixes)}",
        Reaching reaching => $"can-reach={reaching.Target}",
        _ => "auto",
    };
}
