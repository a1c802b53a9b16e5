using System.Text;
using System.Text.Json.Nodes;
using Overlay.Tests.Oracles;

namespace Overlay.Tests.Kubernetes;

/// <content>What the cluster holds.</content>
internal sealed partial class ControlPlane
{
    private const string Agent = "overlay-agent";

    // Everything that is not a field of metadata is taken as it is: what the agent reads is the subject, not what the API refuses.
    private const string ClusterNetworkPolicies = """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata:
          name: clusternetworkpolicies.policy.networking.k8s.io
          annotations: {api-approved.kubernetes.io: "https://github.com/kubernetes-sigs/network-policy-api"}
        spec:
          group: policy.networking.k8s.io
          scope: Cluster
          names: {plural: clusternetworkpolicies, singular: clusternetworkpolicy, kind: ClusterNetworkPolicy, listKind: ClusterNetworkPolicyList, shortNames: [cnp]}
          versions:
          - name: v1alpha2
            served: true
            storage: true
            subresources: {status: {}}
            schema:
              openAPIV3Schema:
                type: object
                properties:
                  spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
                  status: {type: object, x-kubernetes-preserve-unknown-fields: true}
        """;

    /// <summary>Creates or changes every object of a manifest, with its status.</summary>
    /// <param name="yaml">The manifest; other documents than objects are not in it.</param>
    /// <param name="dryRun">The server does everything but keep the result.</param>
    public async Task ApplyAsync(string yaml, bool dryRun = false)
    {
        foreach (var value in ManifestYaml.Objects(yaml))
            await ApplyAsync(value, dryRun);
    }

    /// <summary>Creates or changes an object, with its status.</summary>
    /// <returns>What the server has made of it.</returns>
    public async Task<JsonObject> ApplyAsync(JsonObject value, bool dryRun = false)
    {
        var path = await PathAsync(value);
        var applied = await WriteAsync(HttpMethod.Patch, $"{path}?fieldManager=overlay-tests&force=true{(dryRun ? "&dryRun=All" : "")}", value.ToJsonString(), "application/apply-patch+yaml");
        return value["status"] is { } status && !dryRun
            ? await WriteAsync(HttpMethod.Patch, $"{path}/status", new JsonObject { ["status"] = status.DeepClone() }.ToJsonString(), "application/merge-patch+json")
            : applied;
    }

    /// <summary>Deletes an object, at once.</summary>
    public async Task DeleteAsync(JsonObject value) => await WriteAsync(HttpMethod.Delete, $"{await PathAsync(value)}?gracePeriodSeconds=0", null, "application/json");

    /// <summary>Deletes an object, at once; one that is not there is fine.</summary>
    public async Task RemoveAsync(JsonObject value)
    {
        var (code, answer) = await _client.SendAsync(HttpMethod.Delete, $"{await PathAsync(value)}?gracePeriodSeconds=0", null, "application/json");
        Assert.That(code, Is.InRange(200, 299).Or.EqualTo(404), $"{answer.ToJsonString()}");
    }

    /// <summary>Deletes every object of a manifest, at once.</summary>
    public async Task DeleteAsync(string yaml)
    {
        foreach (var value in ManifestYaml.Objects(yaml))
            await DeleteAsync(value);
    }

    /// <summary>Has the API serve ClusterNetworkPolicy, v1alpha2.</summary>
    public async Task InstallClusterNetworkPolicyAsync()
    {
        await ApplyAsync(ClusterNetworkPolicies);
        await WaitAsync("ClusterNetworkPolicy is served", async () => (await TextAsync("/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies")).Contains("\"items\"", StringComparison.Ordinal));
    }

    /// <summary>Ends that, and deletes every one of them.</summary>
    public async Task RemoveClusterNetworkPolicyAsync()
    {
        await DeleteAsync(ClusterNetworkPolicies);
        await WaitAsync("ClusterNetworkPolicy is gone", async () => await TextAsync("/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies") == "404 page not found\n");
    }

    /// <summary>Makes etcd forget every revision but the latest, as the API server has it do every five minutes.</summary>
    public async Task CompactAsync()
    {
        var revision = (string)JsonNode.Parse(await EtcdAsync("range", """{"key":"AA=="}"""))!["header"]!["revision"]!;
        await EtcdAsync("compaction", $$"""{"revision":"{{revision}}"}""");
    }

    private async Task<string> EtcdAsync(string call, string body)
    {
        using var http = new HttpClient();
        using var response = await http.PostAsync(new Uri(_etcd, $"/v3/kv/{call}"), new StringContent(body, Encoding.UTF8, "application/json"));
        var text = await response.Content.ReadAsStringAsync();
        Assert.That(response.IsSuccessStatusCode, Is.True, $"etcd {call}: {text}");
        return text;
    }

    // The role is the chart's own, so that an agent that needs more than it allows fails here.
    private async Task AllowAgentAsync()
    {
        var role = ManifestYaml.Objects(await System.IO.File.ReadAllTextAsync(Path.Combine(SourceTree.Root, "charts", "overlay", "manifests", "rbac.yaml"))).Single(value => (string?)value["kind"] == "ClusterRole");
        await ApplyAsync(role);
        await ApplyAsync($$"""
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRoleBinding
            metadata: {name: {{Agent}}}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{role["metadata"]!["name"]}}}
            subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: {{Agent}}}]
            """);
        using var agent = Client(AgentToken);
        await WaitAsync("the agent has its rights", async () => (await agent.GetAsync("/api/v1/nodes?limit=1")).Code == 200);
    }

    private async Task<string> PathAsync(JsonObject value)
    {
        var apiVersion = (string)value["apiVersion"]!;
        var prefix = apiVersion.Contains('/') ? $"/apis/{apiVersion}" : $"/api/{apiVersion}";
        var resources = (await WriteAsync(HttpMethod.Get, prefix, null, "application/json"))["resources"]!.AsArray();
        var resource = resources.Single(resource => (string?)resource!["kind"] == (string?)value["kind"] && !((string)resource["name"]!).Contains('/'))!;
        var ns = (bool)resource["namespaced"]! ? $"/namespaces/{value["metadata"]!["namespace"]}" : "";
        return $"{prefix}{ns}/{resource["name"]}/{value["metadata"]!["name"]}";
    }

    private async Task<JsonObject> WriteAsync(HttpMethod method, string path, string? body, string contentType)
    {
        var (code, answer) = await _client.SendAsync(method, path, body, contentType);
        Assert.That(code, Is.InRange(200, 299), $"{method} {path}: {answer.ToJsonString()}\n{body}");
        return answer.AsObject();
    }

    private async Task<string> TextAsync(string path)
    {
        using var response = await _client.Http.GetAsync(path);
        return await response.Content.ReadAsStringAsync();
    }

    private async Task WaitAsync(string what, Func<Task<bool>> done)
    {
        using var deadline = new CancellationTokenSource(Patience);
        while (!await IsDoneAsync(done))
        {
            if (deadline.IsCancellationRequested || _processes.Any(process => process.HasExited))
                throw new InvalidOperationException($"Waited in vain until {what}.\n{string.Join("\n\n", _processes)}");
            await Task.Delay(100, CancellationToken.None);
        }
    }

    private static async Task<bool> IsDoneAsync(Func<Task<bool>> done)
    {
        try
        {
            return await done();
        }
        catch (HttpRequestException)
        {
            return false; // it does not listen yet
        }
    }
}
