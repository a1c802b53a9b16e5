using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;
using Overlay.PolicyEngine.Model;

namespace Overlay.CniShim.Ipam;

/// <summary>An address that is given away.</summary>
/// <param name="Address">Which; its text is the file's name.</param>
/// <param name="ContainerId">To whom; empty when the file says nothing.</param>
/// <param name="IfName">For which interface; null in files that very old versions of host-local wrote.</param>
internal readonly record struct Reservation(InetAddress Address, string ContainerId, string? IfName);

/// <summary>The folder of one network's addresses in host-local's format (plugins/ipam/host-local/backend/disk): one file per address, named by it, holding
/// <c>CONTAINERID\r\nIFNAME</c>; <c>last_reserved_ip.N</c> per range set; <c>lock</c>. A real host-local and this one may use it at the same time.</summary>
internal sealed class AllocationFolder
{
    private const uint OwnerOnly = 0b110_000_000; // 0600
    private const string DefaultDataDir = "/var/lib/cni/networks";

    private readonly string path;

    private AllocationFolder(string path) => this.path = path;

    /// <summary>Where it is.</summary>
    public string Path => path;

    /// <summary>The folder of a configuration's network, made (0755) when it is not there.</summary>
    /// <exception cref="CniException">With code 5.</exception>
    public static AllocationFolder Open(NetworkConfiguration configuration)
    {
        var dataDir = configuration.Ipam.Text("dataDir") is { Length: > 0 } given ? given : DefaultDataDir;
        var path = System.IO.Path.Combine(dataDir, configuration.Name);
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CniException(CniErrorCode.Io, $"cannot make the folder of addresses {path} (ipam.dataDir): {error.Message}");
        }

        return new(path);
    }

    /// <summary>Waits for the folder's lock. Only for as long as files are looked at and written, never while talking to anyone.</summary>
    /// <exception cref="CniException">With code 11: someone else held it until <paramref name="deadline"/>.</exception>
    public IDisposable Lock(Deadline deadline)
    {
        var file = Libc.open(InFolder("lock"), Libc.O_RDONLY | Libc.O_CREAT | Libc.O_CLOEXEC, OwnerOnly);
        try
        {
            if (file.IsInvalid)
                throw Libc.Failure("open", InFolder("lock"));
            for (var pause = 1; Libc.flock(file, Libc.LOCK_EX | Libc.LOCK_NB) != 0; pause = Math.Min(2 * pause, 16))
            {
                if (Marshal.GetLastPInvokeError() is not (Libc.EAGAIN or Libc.EINTR))
                    throw Libc.Failure("flock", InFolder("lock"));
                if (deadline.Passed)
                    throw new CniException(CniErrorCode.TryAgainLater, $"{InFolder("lock")} is held by another process; find it with fuser(1) if it stays so");
                Thread.Sleep(pause); // a flock that waits cannot be given a deadline
            }

            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>All that is given away.</summary>
    public IReadOnlyList<Reservation> Read()
    {
        var reservations = new List<Reservation>();
        foreach (var file in Directory.EnumerateFiles(path))
        {
            if (!InetAddress.TryParse(System.IO.Path.GetFileName(file), out var address))
                continue;
            if (ReadText(file) is not { } text)
                continue; // given back just now
            var (id, ifName) = text.IndexOf('\n', StringComparison.Ordinal) is > 0 and var end ? (text[..end].Trim(), text[(end + 1)..].Trim()) : (text.Trim(), null);
            reservations.Add(new(address, id, ifName));
        }

        return reservations;
    }

    /// <summary>The address that range set <paramref name="set"/> gave last; null when nobody knows.</summary>
    public InetAddress? LastReserved(int set) => InetAddress.TryParse(ReadText(LastReservedFile(set))?.Trim(), out var address) ? address : null;

    /// <summary>Begins to take addresses for <paramref name="owner"/>.</summary>
    public Claim ClaimFor(Attachment owner) => new(this, owner);

    /// <summary>Gives an address back; not being there is fine.</summary>
    public void Release(InetAddress address) => File.Delete(FileOf(address));

    /// <summary>When the address was taken.</summary>
    public DateTime TakenAt(InetAddress address) => File.GetLastWriteTimeUtc(FileOf(address));

    /// <summary>Removes what an ADD that was killed left of its claim.</summary>
    public void ForgetClaim(Attachment owner) => File.Delete(FileOfClaim(owner));

    private string InFolder(string name) => System.IO.Path.Combine(path, name);

    private string FileOf(InetAddress address) => InFolder(address.ToString());

    private string FileOfClaim(Attachment owner) => InFolder($".{owner.ContainerId}@{owner.IfName}.tmp");

    private string LastReservedFile(int set) => InFolder(string.Create(CultureInfo.InvariantCulture, $"last_reserved_ip.{set}"));

    private static void WriteText(string file, string text)
    {
        using var handle = Libc.open(file, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_CLOEXEC, OwnerOnly);
        if (handle.IsInvalid)
            throw Libc.Failure("open", file);
        var bytes = Encoding.UTF8.GetBytes(text);
        RandomAccess.Write(handle, bytes, fileOffset: 0);
        RandomAccess.SetLength(handle, bytes.Length); // not O_TRUNC: ext4 starts to write a file out at once that was cut to nothing (auto_da_alloc)
    }

    // open, read, close: the base library's way asks for locks and types as well, and there is a file for every pod of the node
    private static string? ReadText(string file)
    {
        using SafeFileHandle handle = Libc.open(file, Libc.O_RDONLY | Libc.O_NONBLOCK | Libc.O_CLOEXEC, 0);
        if (handle.IsInvalid)
            return Marshal.GetLastPInvokeError() == Libc.ENOENT ? null : throw Libc.Failure("open", file);
        Span<byte> buffer = stackalloc byte[1024];
        var length = (int)Libc.read(handle, buffer, buffer.Length);
        return length < 0 ? throw Libc.Failure("read", file) : Encoding.UTF8.GetString(buffer[..length]);
    }

    /// <summary>Says whose the addresses are, in a file beside them that is then linked to each address's name:
    /// so an address's file appears with its content or not at all, and it costs one file for all families.</summary>
    public sealed class Claim : IDisposable
    {
        private readonly AllocationFolder folder;
        private readonly string file;

        internal Claim(AllocationFolder folder, Attachment owner)
        {
            this.folder = folder;
            file = folder.FileOfClaim(owner);
            try
            {
                WriteText(file, $"{owner.ContainerId}\r\n{owner.IfName}");
                Fault.Pass(FaultPoint.ShimClaimWritten);
            }
            catch
            {
                File.Delete(file);
                throw;
            }
        }

        /// <summary>Takes an address, and notes it as the last one of range set <paramref name="set"/>.</summary>
        /// <returns>False when it is taken already.</returns>
        public bool Take(InetAddress address, int set)
        {
            if (Libc.link(file, folder.FileOf(address)) != 0)
                return Marshal.GetLastPInvokeError() == Libc.EEXIST ? false : throw Libc.Failure("link", folder.FileOf(address));
            Fault.Pass(FaultPoint.ShimAddressTaken);
            WriteText(folder.LastReservedFile(set), address.ToString());
            return true;
        }

        /// <inheritdoc/>
        public void Dispose() => File.Delete(file);
    }
}
