using System.Runtime.InteropServices;
using System.Text.Json;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Datastore.Kubernetes;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Doctor.Checks;
using Overlay.Dataplane.Store;

namespace Overlay.Dataplane.Doctor.Machine;

/// <summary>Reads what the datastore says of nodes, and finds out whether the agent could read the rest.</summary>
internal static class ClusterReading
{
    private const int PageSize = 100;

    /// <summary>Reads. What goes wrong is a finding.</summary>
    public static async Task<ClusterView> ReadAsync(OverlayConfiguration configuration, CancellationToken cancellation) =>
        configuration.DatastoreDirectory is { } folder ? OfFolder(folder) : await OfApiServerAsync(configuration, cancellation).ConfigureAwait(false);

    private static ClusterView OfFolder(string folder)
    {
        var source = $"directory:{folder}";
        try
        {
            _ = Directory.EnumerateFileSystemEntries(folder).FirstOrDefault();
        }
        catch (DirectoryNotFoundException)
        {
            return new(source, [Finding.Fail(DatastoreCheck.Name, $"the folder {folder} does not exist", "Create it, or set datastore to another.")], null, []);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var finding = Environment.IsPrivilegedProcess
                ? Finding.Fail(DatastoreCheck.Name, $"the folder {folder} cannot be read: {e.Message.TrimEnd('.')}", "Make it readable, or set datastore to another.")
                : Finding.Warn(DatastoreCheck.Name, $"the folder {folder} cannot be read by this user", "Run this as root (sudo overlay doctor).");
            return new(source, [finding], null, []);
        }

        var scan = new DirectoryScan(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
        scan.LookAtAll();
        var store = new ClusterStore();
        foreach (var change in scan.TakeChanges())
            store.Apply(change);
        return new(source, [], [.. store.Nodes], store.Rejections);
    }

    private static async Task<ClusterView> OfApiServerAsync(OverlayConfiguration configuration, CancellationToken cancellation)
    {
        var source = "the API server";
        try
        {
            using var server = ApiServer.Open(configuration, new() { Answer = TimeSpan.FromSeconds(10) });
            source = $"the API server {server.Url.GetLeftPart(UriPartial.Authority)}";
            var problems = new List<Finding>();
            await ReachAsync(server, source, problems, cancellation).ConfigureAwait(false);
            foreach (var resource in Resource.All)
                await ListAsync(server, source, resource, problems, cancellation).ConfigureAwait(false);
            var nodes = problems.Exists(problem => problem.What.Contains(Resource.Nodes.Path, StringComparison.Ordinal)) ? null : await NodesAsync(server, cancellation).ConfigureAwait(false);
            return new(source, problems, nodes, []);
        }
        catch (Exception e) when (e is ApiException or HttpRequestException or IOException or JsonException)
        {
            return new(source, [Unreachable(source, e)], null, []);
        }
    }

    // Who may not ask how the server is may still read all that an agent needs.
    private static async Task ReachAsync(ApiServer server, string source, List<Finding> problems, CancellationToken cancellation)
    {
        try
        {
            using var answer = await server.GetAsync("/readyz", cancellation).ConfigureAwait(false);
        }
        catch (ApiException e) when (e.Code != System.Net.HttpStatusCode.Unauthorized)
        {
            if (e.Code != System.Net.HttpStatusCode.Forbidden)
                problems.Add(Finding.Warn(DatastoreCheck.Name, $"{source} says that it is not ready: {e.Message.TrimEnd('.')}", "Wait until it is, or see its log."));
        }
    }

    private static async Task ListAsync(ApiServer server, string source, Resource resource, List<Finding> problems, CancellationToken cancellation)
    {
        try
        {
            using var answer = await server.GetAsync($"{resource.Path}?limit=1", cancellation).ConfigureAwait(false);
        }
        catch (ApiException e) when (e.Code == System.Net.HttpStatusCode.NotFound && resource.IsOptional)
        {
            // A cluster without that CustomResourceDefinition.
        }
        catch (ApiException e) when (e.Code != System.Net.HttpStatusCode.Unauthorized)
        {
            problems.Add(Finding.Fail(DatastoreCheck.Name, $"{source} refuses to list {resource.Plural}: {e.Message.TrimEnd('.')}", "Give this identity the ClusterRole of the chart (list and watch of nodes, namespaces, pods, networkpolicies, clusternetworkpolicies)."));
        }
    }

    private static async Task<List<Node>> NodesAsync(ApiServer server, CancellationToken cancellation)
    {
        var nodes = new List<Node>();
        var pool = new Pool();
        var next = "";
        do
        {
            using var page = JsonDocument.Parse(await server.GetObjectAsync($"{Resource.Nodes.Path}?limit={PageSize}{(next.Length > 0 ? $"&continue={Uri.EscapeDataString(next)}" : "")}", cancellation).ConfigureAwait(false));
            foreach (var item in page.RootElement.GetProperty("items").EnumerateArray())
            {
                if (ApiObject.Read(Resource.Nodes, JsonMarshal.GetRawUtf8Value(item), pool).Set is ClusterChange.NodeSet { Node: var node })
                    nodes.Add(node);
            }

            next = page.RootElement.TryGetProperty("metadata", out var metadata) && metadata.TryGetProperty("continue", out var token) ? token.GetString() ?? "" : "";
        }
        while (next.Length > 0);
        return nodes;
    }

    private static Finding Unreachable(string source, Exception e)
    {
        var reason = (e.InnerException is { } inner && e is HttpRequestException ? $"{e.Message} {inner.Message}" : e.Message).TrimEnd('.');
        return e is ApiException { Code: System.Net.HttpStatusCode.Unauthorized }
            ? Finding.Fail(DatastoreCheck.Name, $"{source} refuses our credentials: {reason}", "Give the kubeconfig, or the service account, credentials that are valid.")
            : Finding.Fail(DatastoreCheck.Name, $"{source} cannot be asked: {reason}", "Correct kubeconfig or apiServer, and see that this node reaches that address.");
    }
}
