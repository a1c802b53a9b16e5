using Overlay.Dataplane.Cni;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.Dataplane.Cni;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AddressFolderTests : IDisposable
{
    private readonly string _ipamDir = Directory.CreateTempSubdirectory("overlay-ipam-").FullName;

    public void Dispose() => Directory.Delete(_ipamDir, recursive: true);

    [Test]
    public void It_reads_the_files_of_host_local_and_nothing_else()
    {
        Write("overlay", "10.42.1.5", "c1\r\neth0");
        Write("overlay", "fd00:42:1::5", "c1\r\neth0");
        Write("overlay", "10.42.1.6", "c2");
        Write("overlay", "10.42.1.7", "");
        Write("overlay", "last_reserved_ip.0", "10.42.1.7");
        Write("overlay", "lock", "");
        Write("overlay", ".c9@eth0.tmp", "c9\r\neth0");
        Assert.That(
            new AddressFolder(_ipamDir, "overlay").Read().OrderBy(file => file.Address).Select(file => (file.Address.ToString(), file.ContainerId, file.IfName)),
            Is.EquivalentTo(new[] { ("10.42.1.5", "c1", "eth0"), ("10.42.1.6", "c2", ""), ("10.42.1.7", "", ""), ("fd00:42:1::5", "c1", "eth0") }));
        Assert.That(new AddressFolder(_ipamDir, "never").Read(), Is.Empty);
    }

    [Test]
    public void It_gives_back_what_is_still_as_it_was_read()
    {
        var folder = new AddressFolder(_ipamDir, "overlay");
        foreach (var address in new[] { "10.42.1.5", "10.42.1.6", "10.42.1.7" })
            Write("overlay", address, "c1\r\neth0");
        var files = folder.Read();
        Write("overlay", "10.42.1.6", "c2\r\neth0");
        File.Delete(Path.Combine(_ipamDir, "overlay", "10.42.1.7"));
        Assert.That(folder.Release(files)?.Select(file => file.Address.ToString()), Is.EqualTo(new[] { "10.42.1.5" }));
        Assert.That(folder.Read().Select(file => file.Address.ToString()), Is.EqualTo(new[] { "10.42.1.6" }));
    }

    // A plugin looks at the folder at this moment.
    [Test]
    public void While_another_holds_the_lock_nothing_is_given_back()
    {
        Write("overlay", "10.42.1.5", "c1\r\neth0");
        var folder = new AddressFolder(_ipamDir, "overlay");
        using (File.Open(Path.Combine(_ipamDir, "overlay", "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None))
            Assert.That(folder.Release(folder.Read()), Is.Null);
        Assert.That(folder.Read(), Has.Count.EqualTo(1));
    }

    [Test]
    public void It_takes_over_what_other_networks_gave_out_in_our_prefixes()
    {
        Write("cbr0", "10.42.1.5", "c1\r\neth0");
        Write("cbr0", "10.99.0.5", "c1\r\neth0");
        Write("kubernetes", "10.42.1.6", "c2");
        Write("kubernetes", "10.42.1.7", "c3\r\neth0");
        Write("overlay", "10.42.1.7", "c3\r\neth0");
        var folder = new AddressFolder(_ipamDir, "overlay");
        Cidr[] prefixes = [Cidr.Parse("10.42.1.0/24")];
        var others = folder.ReadOthers(prefixes);
        Assert.That(others.Select(file => file.Address.ToString()), Is.EquivalentTo(new[] { "10.42.1.5", "10.42.1.6" }));
        foreach (var other in others)
            folder.TakeOver(other);
        Assert.That(File.ReadAllText(Path.Combine(_ipamDir, "overlay", "10.42.1.5")), Is.EqualTo("c1\r\neth0"));
        Assert.That(File.ReadAllText(Path.Combine(_ipamDir, "overlay", "10.42.1.6")), Is.EqualTo("c2"));
        Assert.That(File.Exists(Path.Combine(_ipamDir, "cbr0", "10.42.1.5")), "the other network's file is not ours");
        Assert.That(folder.ReadOthers(prefixes), Is.Empty);
        Assert.That(new AddressFolder(Path.Combine(_ipamDir, "never"), "overlay").ReadOthers(prefixes), Is.Empty);
    }

    [Test]
    public void The_boot_is_noted_once()
    {
        Assert.That(BootRecord.Renew(_ipamDir, "one"), Is.False);
        Assert.That(BootRecord.Renew(_ipamDir, "one"), Is.True);
        Assert.That(BootRecord.Renew(_ipamDir, "two"), Is.False);
        Assert.That(BootRecord.Renew(_ipamDir, "two"), Is.True);
        Assert.That(BootRecord.Renew(Path.Combine(_ipamDir, "new")), Is.False);
        Assert.That(BootRecord.Renew(Path.Combine(_ipamDir, "new")), Is.True, "the kernel's does not change");
    }

    private void Write(string network, string file, string content)
    {
        Directory.CreateDirectory(Path.Combine(_ipamDir, network));
        File.WriteAllText(Path.Combine(_ipamDir, network, file), content);
    }
}
