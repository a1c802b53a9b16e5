using System.Text.Json;

namespace Overlay.CniShim.Protocol;

/// <summary><c>runtimeConfig.bandwidth</c> (CNI conventions), as seen from the pod: ingress is what it receives. Rates are bits per second, bursts are bits; a rate of 0 is no limit.</summary>
internal sealed record Bandwidth
{
    /// <summary>ingressRate: bits per second towards the pod; 0 is no limit.</summary>
    public long IngressRate { get; init; }

    /// <summary>ingressBurst: bits that may come at once; 0 leaves it to the agent.</summary>
    public long IngressBurst { get; init; }

    /// <summary>egressRate: bits per second from the pod; 0 is no limit.</summary>
    public long EgressRate { get; init; }

    /// <summary>egressBurst: bits that may leave at once; 0 leaves it to the agent.</summary>
    public long EgressBurst { get; init; }

    /// <summary>Whether it limits anything: runtimes also send an object of zeros.</summary>
    public bool Limits => IngressRate != 0 || EgressRate != 0;

    /// <summary>What is wrong with it; null when nothing is.</summary>
    public string? Fault => this switch
    {
        { IngressRate: < 0 } or { EgressRate: < 0 } or { IngressBurst: < 0 } or { EgressBurst: < 0 } => "rates and bursts may not be negative",
        { IngressRate: 0, IngressBurst: > 0 } => "ingressBurst needs an ingressRate",
        { EgressRate: 0, EgressBurst: > 0 } => "egressBurst needs an egressRate",
        _ => null,
    };

    /// <summary>Reads it as the runtimes spell it: camelCase, or PascalCase (containerd).</summary>
    /// <exception cref="JsonException">It is no object, or a key has a value of another kind.</exception>
    public static Bandwidth Read(JsonElement json) => json.ValueKind != JsonValueKind.Object
        ? throw new JsonException($"\"bandwidth\" has to be an object, not {json.ValueKind}")
        : new()
        {
            IngressRate = json.LongNumber("ingressRate") ?? 0,
            IngressBurst = json.LongNumber("ingressBurst") ?? 0,
            EgressRate = json.LongNumber("egressRate") ?? 0,
            EgressBurst = json.LongNumber("egressBurst") ?? 0,
        };
}
