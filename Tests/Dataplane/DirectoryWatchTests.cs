using System.Runtime.InteropServices;
using System.Threading.Channels;
using Overlay.Dataplane.Datastore.Directory;
using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Store;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane;

/// <summary>A real folder, live. Waits for changes on the channel; only "nothing comes" ends by another change that follows.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed partial class DirectoryWatchTests : IDisposable
{
    private const string DenyAll = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: shop}\nspec: {podSelector: {}}\n";

    private readonly string _folder = Directory.CreateTempSubdirectory("overlay-watch-").FullName;
    private readonly Channel<ClusterChange> _changes = Channel.CreateUnbounded<ClusterChange>();
    private readonly CancellationTokenSource _stop = new();
    private readonly ClusterStore _store = new();
    private Task _running = Task.CompletedTask;

    [TearDown]
    public async Task Stop()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
        Assert.That(_running.IsFaulted, Is.False, _running.Exception?.ToString());
    }

    public void Dispose() => _stop.Dispose();

    [Test]
    public async Task What_is_there_at_start_comes_first_and_then_Synced()
    {
        Write("a.yaml", DenyAll + "---\n" + NamespaceOf("shop"));
        Write("sub/deeper/pods.yml", PodOf("web"));
        Write("node.json", "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"n1\"}}");
        Write("notes.txt", "not: [a manifest");
        Write(".hidden.yaml", NamespaceOf("hidden"));
        Write(".git/x.yaml", NamespaceOf("hidden"));
        await StartAsync();
        Assert.That(_store.Policies, Has.Count.EqualTo(1));
        Assert.That(_store.Namespaces.Select(ns => ns.Name), Is.EqualTo(new[] { "shop" }));
        Assert.That(_store.PodCount, Is.EqualTo(1));
        Assert.That(_store.Nodes, Has.Count.EqualTo(1));
        Assert.That(_store.Rejections, Is.Empty);
    }

    [Test]
    public async Task A_pipe_or_a_device_among_the_manifests_is_reported_and_stops_nothing()
    {
        Assert.That(MakePipe(PathOf("pipe.yaml"), 0b110_100_100), Is.Zero);
        File.CreateSymbolicLink(PathOf("zero.yaml"), "/dev/zero");
        File.CreateSymbolicLink(PathOf("terminal.json"), "/dev/ptmx");
        Write("web.yaml", PodOf("web"));
        await StartAsync();
        Assert.That(_store.PodCount, Is.EqualTo(1));
        Assert.That(_store.Rejections.Select(rejection => Path.GetFileName(rejection.Source)), Is.EquivalentTo(new[] { "pipe.yaml", "zero.yaml", "terminal.json" }));
        Directory.CreateDirectory(PathOf(".status/node-1"));
        Assert.That(MakePipe(PathOf(".status/node-1/shop.web.json"), 0b110_100_100), Is.Zero);
        Write("more.yaml", NamespaceOf("more"));
        await UntilAsync(() => Knows("more"));
    }

    [Test]
    public async Task Files_may_come_change_be_renamed_and_go()
    {
        await StartAsync();
        Write("a.yaml", NamespaceOf("a"));
        await UntilAsync(() => Knows("a"));
        Write("a.yaml", NamespaceOf("b"));
        await UntilAsync(() => Knows("b") && !Knows("a"));
        File.Move(PathOf("a.yaml"), PathOf("c.yaml"));
        Write("next.yaml", NamespaceOf("next"));
        await UntilAsync(() => Knows("next"), never: change => change is ClusterChange.NamespaceGone);
        File.Delete(PathOf("c.yaml"));
        await UntilAsync(() => !Knows("b"));
        File.Move(PathOf("next.yaml"), PathOf("next.txt"));
        await UntilAsync(() => !Knows("next"));
    }

    [Test]
    public async Task An_atomic_replacement_never_takes_the_object_away()
    {
        Write("p.yaml", DenyAll);
        await StartAsync();
        for (var i = 0; i < 20; i++)
        {
            Write(".p.yaml.tmp", DenyAll.Replace("podSelector: {}", $"podSelector: {{matchLabels: {{round: r{i}}}}}"));
            File.Move(PathOf(".p.yaml.tmp"), PathOf("p.yaml"), overwrite: true);
        }

        await UntilAsync(() => _store.Policies.Single().Subject.PodSelector.ToString() == "round=r19", never: change => change is ClusterChange.PolicyGone);
    }

    [Test]
    public async Task Folders_may_come_with_their_content_be_moved_and_go()
    {
        await StartAsync();
        Write("new/below/a.yaml", NamespaceOf("a"));
        await UntilAsync(() => Knows("a"));
        Write("new/below/b.yaml", NamespaceOf("b"));
        await UntilAsync(() => Knows("b"));
        Directory.Move(PathOf("new"), PathOf("old"));
        Write("old/below/c.yaml", NamespaceOf("c"));
        await UntilAsync(() => Knows("a") && Knows("b") && Knows("c"));
        Directory.Delete(PathOf("old"), recursive: true);
        await UntilAsync(() => !Knows("a") && !Knows("b") && !Knows("c"));
    }

    [Test]
    public async Task A_broken_file_keeps_its_last_good_version_and_recovers()
    {
        Write("p.yaml", DenyAll);
        await StartAsync();
        Write("p.yaml", DenyAll + "---\nbroken: [\n");
        await UntilAsync(() => _store.Rejections.Any(), never: change => change is ClusterChange.PolicyGone or ClusterChange.PolicySet);
        Assert.That(_store.Rejections.Single().ToString(), Does.StartWith($"{PathOf("p.yaml")}:6: not valid YAML"));
        Write("p.yaml", "");
        await UntilAsync(() => _store.Rejections.Any(rejection => rejection.Reason.StartsWith("the file is empty", StringComparison.Ordinal)), never: change => change is ClusterChange.PolicyGone);
        Write("p.yaml", DenyAll.Replace("podSelector: {}", "podSelector: {matchLabels: {a: b}}"));
        await UntilAsync(() => !_store.Rejections.Any());
        Assert.That(_store.Policies.Single().Subject.PodSelector.ToString(), Is.EqualTo("a=b"));
        Write("p.yaml", "broken: [");
        await UntilAsync(() => _store.Rejections.Any());
        File.Delete(PathOf("p.yaml"));
        await UntilAsync(() => _store.Policies.Count == 0 && !_store.Rejections.Any());
    }

    [Test]
    public async Task A_rejected_object_keeps_its_last_good_version_and_a_rejected_policy_isolates()
    {
        Write("a.yaml", PodOf("web", "labels: {app: web}") + "---\n" + DenyAll.Replace("{podSelector: {}}", "{podSelector: {}, ingress: [{}]}"));
        await StartAsync();
        Assert.That(_store.Policies.Single().Ingress!.Value, Has.Count.EqualTo(1));
        Write("a.yaml", PodOf("web", "labels: {app: 1}") + "---\n" + DenyAll.Replace("{podSelector: {}}", "{podSelector: {}, ingress: [{form: []}]}"));
        await UntilAsync(() => _store.Rejections.Count == 2, never: change => change is ClusterChange.PodGone or ClusterChange.PolicyGone);
        Assert.That(_store.Policies.Single().Ingress!.Value, Is.Empty);
        Assert.That(_store.Pods.Single().Labels.ToString(), Is.EqualTo("app=web"));
    }

    [Test]
    public async Task Of_an_object_in_two_files_the_first_by_path_is_in_force_and_the_other_takes_over()
    {
        Write("b.yaml", PodOf("web", "labels: {from: b}"));
        await StartAsync();
        Write("a.yaml", PodOf("web", "labels: {from: a}"));
        await UntilAsync(() => _store.Pods.Single().Labels["from"] == "a" && _store.Rejections.Any());
        Assert.That(_store.Rejections.Single().ToString(), Does.StartWith($"{PathOf("b.yaml")}:1: Pod shop/web: the same object is in {PathOf("a.yaml")} already"));
        File.Delete(PathOf("a.yaml"));
        await UntilAsync(() => _store.Pods.Single().Labels["from"] == "b" && !_store.Rejections.Any(), never: change => change is ClusterChange.PodGone);
    }

    [Test]
    public async Task Linked_folders_and_ConfigMap_volumes_are_followed()
    {
        var elsewhere = Directory.CreateTempSubdirectory("overlay-watch-linked-").FullName;
        try
        {
            Write("..1/a.yaml", NamespaceOf("a"));
            Directory.CreateSymbolicLink(PathOf("..data"), "..1");
            File.CreateSymbolicLink(PathOf("a.yaml"), "..data/a.yaml");
            Directory.CreateSymbolicLink(PathOf("linked"), elsewhere);
            await StartAsync();
            Assert.That(Knows("a"));

            Write("..2/a.yaml", NamespaceOf("b"));
            Directory.CreateSymbolicLink(PathOf("..data_tmp"), "..2");
            Assert.That(Rename(PathOf("..data_tmp"), PathOf("..data")), Is.Zero);
            await UntilAsync(() => Knows("b") && !Knows("a"));

            await File.WriteAllTextAsync(Path.Combine(elsewhere, "c.yaml"), NamespaceOf("c"));
            await UntilAsync(() => Knows("c"));
            File.Delete(PathOf("linked"));
            await UntilAsync(() => !Knows("c"));
        }
        finally
        {
            Directory.Delete(elsewhere, recursive: true);
        }
    }

    [Test]
    public async Task Agents_tell_each_other_the_addresses_of_their_pods()
    {
        Write("web.yaml", PodOf("web", "labels: {app: web}"));
        await StartAsync();
        var web = AttachmentOf("web", "c1", "10.42.2.5", "fd00::5");
        var bare = AttachmentOf("bare", "c2", "10.42.2.6");
        var status = new PodStatusFolder(_folder, "n2");
        status.Publish(web.Pod, [web]);
        status.Publish(bare.Pod, [bare]);
        await UntilAsync(() => _store.Pods.Sum(pod => pod.Addresses.Count) == 3);
        Assert.That(_store.Pod(web.Pod)!.Labels["app"], Is.EqualTo("web"));
        Assert.That(_store.Pod(web.Pod)!.NodeName, Is.EqualTo("n2"));
        Assert.That(_store.Pod(bare.Pod)!.Labels, Is.EqualTo(Labels.Empty));

        status.Publish(web.Pod, []);
        status.PublishAll([]);
        await UntilAsync(() => _store.PodCount == 1 && _store.Pod(web.Pod)!.Addresses.Count == 0);
        Assert.That(Directory.GetFiles(PathOf(".status/n2")), Is.Empty);
    }

    [Test]
    public async Task A_broken_status_file_keeps_the_last_addresses_and_is_reported()
    {
        var web = AttachmentOf("web", "c1", "10.42.2.5");
        new PodStatusFolder(_folder, "n2").Publish(web.Pod, [web]);
        await StartAsync();
        Write(".status/n2/shop.web.json", "{\"namespace\": ");
        await UntilAsync(() => _store.Rejections.Any(), never: change => change is ClusterChange.PodGone);
        Assert.That(_store.Pod(web.Pod)!.Addresses, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Another_kind_is_mentioned_once()
    {
        Write("d.yaml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}");
        await StartAsync(out var skipped);
        Assert.That(skipped(), Is.EqualTo(new[] { "apps/v1 Deployment" }));
    }

    [Test]
    public async Task A_folder_that_goes_leaves_everything_in_force_until_it_is_back()
    {
        Write("a.yaml", NamespaceOf("a"));
        await StartAsync();
        var away = _folder + "-away";
        Directory.Move(_folder, away);
        await UntilAsync(() => _store.Rejections.Any(), never: change => change is ClusterChange.NamespaceGone);
        Assert.That(_store.Rejections.Single().Reason, Does.StartWith("the folder is gone"));
        File.WriteAllText(Path.Combine(away, "b.yaml"), NamespaceOf("b"));
        Directory.Move(away, _folder);
        await UntilAsync(() => Knows("a") && Knows("b") && !_store.Rejections.Any(), never: change => change is ClusterChange.NamespaceGone);
        Write("c.yaml", NamespaceOf("c"));
        await UntilAsync(() => Knows("c"));
    }

    [Test]
    public void A_missing_folder_is_one_clear_error()
    {
        var watch = new DirectoryWatch(PathOf("nowhere"), _changes.Writer);
        Assert.That(() => watch.RunAsync(_stop.Token), Throws.InstanceOf<DirectoryNotFoundException>().With.Message.EqualTo($"The datastore's folder {PathOf("nowhere")} does not exist; create it, or set datastore to another."));
    }

    // File.Move takes no link to a folder, Directory.Move replaces none.
    [LibraryImport("libc", EntryPoint = "mkfifo", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakePipe(string path, uint mode);

    [LibraryImport("libc", EntryPoint = "rename", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Rename(string from, string to);

    private static string NamespaceOf(string name) => $"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n";

    private static string PodOf(string name, string rest = "") => $"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop{(rest.Length > 0 ? ", " : "")}{rest}}}\n";

    private static Attachment AttachmentOf(string pod, string container, params string[] addresses) =>
        new(container, "eth0", new("shop", pod), "", "", "ovl0", default, addresses.Select(InetAddress.Parse).ToEquatableArray(), "overlay");

    private string PathOf(string name) => Path.Combine(_folder, name);

    private bool Knows(string ns) => _store.Namespaces.Any(known => known.Name == ns);

    private void Write(string name, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(PathOf(name))!);
        File.WriteAllText(PathOf(name), text);
    }

    private Task StartAsync() => StartAsync(out _);

    private Task StartAsync(out Func<IReadOnlyList<string>> skipped)
    {
        var kinds = new List<string>();
        skipped = () => kinds;
        _running = new DirectoryWatch(_folder, _changes.Writer).RunAsync(_stop.Token);
        return UntilAsync(() => _store.IsSynced, never: change =>
        {
            if (change is ClusterChange.Skipped { Kind: var kind })
                kinds.Add(kind);
            return false;
        });
    }

    // Applies changes as they come until the condition holds. The deadline only ends a test that has failed.
    private async Task UntilAsync(Func<bool> condition, Func<ClusterChange, bool>? never = null)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!condition())
        {
            ClusterChange change;
            try
            {
                change = await _changes.Reader.ReadAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                throw new AssertionException($"It did not come. Rejections: {string.Join('\n', _store.Rejections)}; {_running.Exception}");
            }

            Assert.That(never?.Invoke(change) ?? false, Is.False, change.ToString());
            _store.Apply(change);
        }
    }
}
