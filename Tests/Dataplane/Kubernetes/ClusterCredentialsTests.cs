using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Overlay.Dataplane.Store;
using Overlay.Tests.Fakes;

namespace Overlay.Tests.Dataplane.Kubernetes;

/// <summary>Credentials that are exchanged while we run, and what is wrong with them: nothing is lost, and nothing ends.</summary>
public class ClusterCredentialsTests
{
    private WatchedCluster _cluster = null!;

    private FakeApiServer Server => _cluster.Server;

    [TearDown]
    public async Task Stop() => await _cluster.DisposeAsync();

    [Test]
    public async Task A_token_that_is_exchanged_is_read_again()
    {
        _cluster = await WatchedCluster.WatchAsync();
        Server.AcceptToken("second");
        await File.WriteAllTextAsync(_cluster.TokenFile, "second");
        Server.RejectToken(Server.Token);
        await AwaitNewsAsync();
    }

    // As when the file is written in place, or its mount is gone for a moment.
    [TestCase("")]
    [TestCase("two\nlines")]
    [TestCase(null)]
    public async Task A_token_file_that_is_broken_is_told_and_waited_for(string? text)
    {
        _cluster = await WatchedCluster.WatchAsync();
        if (text is null)
            File.Delete(_cluster.TokenFile);
        else
            await File.WriteAllTextAsync(_cluster.TokenFile, text);
        Server.DropWatches();
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().Any(failing => failing.Reason.Contains(_cluster.TokenFile, StringComparison.Ordinal)), () => "the file is named");
        await File.WriteAllTextAsync(_cluster.TokenFile, Server.Token);
        await AwaitNewsAsync();
    }

    [Test]
    public async Task A_certificate_that_is_exchanged_is_shown_on_new_connections()
    {
        _cluster = await WatchedCluster.CreateAsync();
        var kubeconfig = WriteWithCertificate(out var first);
        Server.AcceptCertificate(first);
        _cluster.Watch(kubeconfig: kubeconfig);
        await _cluster.AwaitTruthAsync();

        WriteWithCertificate(out var second);
        Server.AcceptCertificate(second);
        Server.AcceptCertificate(first, accept: false);
        await AwaitNewsAsync();
    }

    [Test]
    public async Task An_authority_that_is_exchanged_is_believed_once_the_kubeconfig_names_it()
    {
        _cluster = await WatchedCluster.WatchAsync();
        await Server.RenewAuthorityAsync();
        await _cluster.UntilAsync(
            () => _cluster.Told.OfType<ClusterChange.SourceFailing>().Any(failing => failing.Reason.Contains("Its certificate is not for this address, or not of the certificate authority that is configured.", StringComparison.Ordinal)),
            () => "the certificate is not believed");
        Server.WriteKubeconfig(_cluster.Folder);
        await AwaitNewsAsync();
    }

    [Test]
    public async Task A_server_that_moves_is_found_once_the_kubeconfig_names_it()
    {
        _cluster = await WatchedCluster.CreateAsync();
        _cluster.Watch(kubeconfig: KubeconfigFile.Write(_cluster.Folder, new("https://127.0.0.1:1"), Server.CertificateAuthorityPem, Server.Token));
        await _cluster.UntilAsync(() => _cluster.Told.OfType<ClusterChange.SourceFailing>().Any(), () => "nobody is there");
        Server.WriteKubeconfig(_cluster.Folder);
        await AwaitNewsAsync();
        await _cluster.UntilAsync(
            () => _cluster.Told.OfType<ClusterChange.SourceFailing>().GroupBy(failing => failing.Source).All(source => source.Last().Reason.Length == 0),
            () => "the recovery is told under the name of the failure");
    }

    private async Task AwaitNewsAsync()
    {
        await _cluster.AwaitWatchesAsync();
        Server.DropWatches();
        Server.Put(ClusterWatchTests.Pod("new", "10.42.1.99"));
        await _cluster.AwaitTruthAsync();
    }

    private string WriteWithCertificate(out string thumbprint)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var made = new CertificateRequest("CN=overlay", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddHours(1));
        thumbprint = made.Thumbprint;
        File.WriteAllText(Path.Combine(_cluster.Folder, "client.pem"), made.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem());
        var path = Server.WriteKubeconfig(_cluster.Folder);
        File.WriteAllText(path, File.ReadAllText(path).Replace($"tokenFile: {_cluster.TokenFile}", "{ client-certificate: client.pem, client-key: client.pem }", StringComparison.Ordinal));
        return path;
    }
}
