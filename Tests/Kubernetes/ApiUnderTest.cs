using System.Text.Json.Nodes;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Kubernetes;

/// <summary>An API server, fake or real, as <see cref="ApiSemanticsTests"/> drives it.</summary>
internal abstract class ApiUnderTest : IAsyncDisposable
{
    private ApiUnderTest(ApiClient agent) => Agent = agent;

    /// <summary>A client with the rights of the agent.</summary>
    public ApiClient Agent { get; }

    /// <summary>Creates or changes an object.</summary>
    public abstract Task<JsonObject> PutAsync(JsonObject value);

    /// <summary>Deletes an object.</summary>
    public abstract Task DeleteAsync(JsonObject value);

    /// <summary>Forgets every revision but the latest.</summary>
    public abstract Task CompactAsync();

    /// <summary>Has ClusterNetworkPolicy served.</summary>
    public abstract Task AddClusterNetworkPolicyAsync();

    /// <summary>Has it served no more.</summary>
    public abstract Task RemoveClusterNetworkPolicyAsync();

    /// <inheritdoc/>
    public virtual ValueTask DisposeAsync()
    {
        Agent.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>The fake one.</summary>
    public sealed class Fake(FakeApiServer server) : ApiUnderTest(new(server.Url, server.CertificateAuthorityPem, server.Token))
    {
        public override Task<JsonObject> PutAsync(JsonObject value) => Task.FromResult(server.Put(value));

        public override Task DeleteAsync(JsonObject value)
        {
            var kind = FakeKind.All.Single(kind => kind.Kind == (string?)value["kind"]);
            server.Delete(kind.Plural, (string?)value["metadata"]!["namespace"], (string)value["metadata"]!["name"]!);
            return Task.CompletedTask;
        }

        public override Task CompactAsync()
        {
            server.Compact();
            return Task.CompletedTask;
        }

        public override Task AddClusterNetworkPolicyAsync()
        {
            server.AddKind("clusternetworkpolicies");
            return Task.CompletedTask;
        }

        public override Task RemoveClusterNetworkPolicyAsync()
        {
            server.RemoveKind("clusternetworkpolicies");
            return Task.CompletedTask;
        }

        public override async ValueTask DisposeAsync()
        {
            await base.DisposeAsync();
            await server.DisposeAsync();
        }
    }

    /// <summary>The real one.</summary>
    public sealed class Real(ControlPlane plane) : ApiUnderTest(plane.Client(plane.AgentToken))
    {
        public override Task<JsonObject> PutAsync(JsonObject value) => plane.ApplyAsync(value);

        public override Task DeleteAsync(JsonObject value) => plane.DeleteAsync(value);

        public override Task CompactAsync() => plane.CompactAsync();

        public override Task AddClusterNetworkPolicyAsync() => plane.InstallClusterNetworkPolicyAsync();

        public override Task RemoveClusterNetworkPolicyAsync() => plane.RemoveClusterNetworkPolicyAsync();
    }
}
