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
/// <c>CONTAINERID\r\nIFNAME</c>; <c>last_reserved_ip.N</c> per range set; <c>lock</c>. A real host-local and this one may use it at the same time.
/// Ours alone is the folder <c>.claims</c> in it, with a file <c>CONTAINERID@IFNAME</c> per attachment, of which its addresses are further names: so it is known without opening
/// a file which addresses an attachment has. Nothing depends on it: an address that no claim names is opened and read.</summary>
internal sealed class AllocationFolder
{
    /// <summary>The one of the conflist that the agent writes, unless the agent is told otherwise.</summary>
    public const string OfConflist = $"{DefaultDataDir}/overlay";

    private const uint OwnerOnly = 0b110_000_000; // 0600
    private const string DefaultDataDir = "/var/lib/cni/networks";

    private readonly string path;

    private AllocationFolder(string path) => this.path = path;

    /// <summary>Where it is.</summary>
    public string Path => path;

    /// <summary>The folder of a configuration's network; nothing is touched yet.</summary>
    public static AllocationFolder Of(NetworkConfiguration configuration) =>
        new(System.IO.Path.Combine(configuration.Ipam.Text("dataDir") is { Length: > 0 } given ? given : DefaultDataDir, configuration.Name));

    /// <summary>The folder of claims.</summary>
    public string Claims => InFolder(".claims");

    /// <summary>Name of an attachment's claim: a container id never holds an @, so no two share a name.</summary>
    public static string ClaimNameOf(Attachment owner) => $"{owner.ContainerId}@{owner.IfName}";

    /// <summary>Waits for the folder's lock; the folder is made (0755) when it is not there. Only for as long as files are looked at and written, never while talking to anyone.</summary>
    /// <exception cref="CniException">With code 5: it cannot be made; with code 11: someone else held the lock until <paramref name="deadline"/>.</exception>
    /// <exception cref="IOException">It cannot be locked.</exception>
    public IDisposable Lock(Deadline deadline)
    {
        if (TryLock(deadline) is { } locked)
            return locked;
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CniException(CniErrorCode.Io, $"cannot make the folder of addresses {path} (ipam.dataDir): {error.Message}");
        }

        return TryLock(deadline) ?? throw Libc.Failure("open", InFolder("lock"));
    }

    /// <summary>As <see cref="Lock"/>, but makes no folder.</summary>
    /// <returns>Null when there is no folder.</returns>
    public IDisposable? TryLock(Deadline deadline)
    {
        var file = Libc.open(InFolder("lock"), Libc.O_RDONLY | Libc.O_CREAT | Libc.O_CLOEXEC, OwnerOnly);
        try
        {
            if (file.IsInvalid)
                return Marshal.GetLastPInvokeError() is Libc.ENOENT or Libc.ENOTDIR ? null : throw Libc.Failure("open", InFolder("lock"));
            if (Libc.flock(file, Libc.LOCK_EX | Libc.LOCK_NB) != 0)
                WaitForLock(file, deadline);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>What <paramref name="owner"/> has.</summary>
    public Allocations AllocationsOf(Attachment owner) => new(this, owner);

    /// <summary>Every address that is given away.</summary>
    public HashSet<InetAddress> Taken()
    {
        var taken = new HashSet<InetAddress>();
        DirectoryListing.Visit(path, (name, _) =>
        {
            if (TryParse(name, out var address))
                taken.Add(address);
        });
        return taken;
    }

    /// <summary>Every address and whose it is; opens every file.</summary>
    /// <param name="failures">Gets an error for each file that cannot be read.</param>
    public IReadOnlyList<Reservation> ReadAll(ICollection<IOException> failures)
    {
        var claims = new Dictionary<ulong, string>();
        DirectoryListing.Visit(Claims, (name, inode) => claims[inode] = Encoding.UTF8.GetString(name));
        var reservations = new List<Reservation>();
        DirectoryListing.Visit(path, (name, inode) =>
        {
            if (!TryParse(name, out var address))
                return;
            Reservation? read = null;
            Try(failures, () => read = Read(address));
            if (read is not { } reservation)
                return; // nobody's, or given back just now
            var claim = reservation.ContainerId.Length == 0 && claims.TryGetValue(inode, out var found) ? found.Split('@', 2) : [];
            reservations.Add(claim is [var id, var ifName] ? new(address, id, ifName) : reservation);
        });
        return reservations;
    }

    /// <summary>The address that is a file's name.</summary>
    public static bool TryParse(ReadOnlySpan<byte> name, out InetAddress address)
    {
        address = default;
        return name[0] is not ((byte)'.' or (byte)'l') && InetAddress.TryParse(Encoding.UTF8.GetString(name), out address); // lock, last_reserved_ip.N
    }

    /// <summary>Whose an address is; null when nobody's: there is no such file, or what has its name is none and only keeps others from taking the address.</summary>
    public Reservation? Read(InetAddress address)
    {
        if (ReadText(FileOf(address)) is not { } text)
            return null;
        return text.IndexOf('\n', StringComparison.Ordinal) is > 0 and var end ? new(address, text[..end].Trim(), text[(end + 1)..].Trim()) : new(address, text.Trim(), null);
    }

    /// <summary>The address that range set <paramref name="set"/> gave last; null when nobody knows.</summary>
    public InetAddress? LastReserved(int set) => InetAddress.TryParse(ReadText(LastReservedFile(set))?.Trim(), out var address) ? address : null;

    /// <summary>Begins to take addresses for <paramref name="owner"/>, who has none; under the lock.</summary>
    public Claim ClaimFor(Attachment owner)
    {
        Directory.CreateDirectory(Claims);
        return new(this, owner);
    }

    /// <summary>Gives an address back; not being there is fine.</summary>
    /// <exception cref="IOException">It cannot be given back.</exception>
    public void Release(InetAddress address) => Remove(FileOf(address));

    /// <summary>When the address was taken.</summary>
    public DateTime TakenAt(InetAddress address) => File.GetLastWriteTimeUtc(FileOf(address));

    /// <summary>Removes a claim; not being there is fine.</summary>
    public void RemoveClaim(string name) => Remove(FileOfClaim(name));

    /// <summary>Does a step whose failure keeps no other from being done.</summary>
    /// <param name="failures">Gets its error.</param>
    /// <param name="step">The step.</param>
    public static void Try(ICollection<IOException> failures, Action step)
    {
        try
        {
            step();
        }
        catch (IOException failure)
        {
            failures.Add(failure);
        }
    }

    /// <summary>Writes something and removes it: whether an address could be given away now. Under the lock.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Probe()
    {
        var file = InFolder(".probe.tmp");
        try
        {
            WriteText(file, "probe");
        }
        catch
        {
            _ = Libc.unlink(file); // the first error is the one to tell
            throw;
        }

        Remove(file);
    }

    private static void Remove(string file)
    {
        if (Libc.unlink(file) != 0 && Marshal.GetLastPInvokeError() is not (Libc.ENOENT or Libc.ENOTDIR))
            throw Libc.Failure("unlink", file);
    }

    // A flock that waits, the kernel keeps in line behind those who came before; what gives it a deadline is that another thread does the waiting.
    private void WaitForLock(SafeFileHandle file, Deadline deadline)
    {
        if (Marshal.GetLastPInvokeError() is not (Libc.EAGAIN or Libc.EINTR))
            throw Libc.Failure("flock", InFolder("lock"));
        var error = 0;
        var waiter = new Thread(() =>
        {
            while (Libc.flock(file, Libc.LOCK_EX) != 0 && (error = Marshal.GetLastPInvokeError()) == Libc.EINTR)
                error = 0;
        })
        { IsBackground = true };
        waiter.Start();
        if (!waiter.Join(deadline.Remaining)) // the handle, disposed of by then, lets go of the lock as soon as it gets it
            throw new CniException(CniErrorCode.TryAgainLater, $"{InFolder("lock")} is held by another process; find it with fuser(1) if it stays so");
        if (error is not (0 or Libc.EINTR))
            throw new IOException($"flock {InFolder("lock")}: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private string InFolder(string name) => System.IO.Path.Combine(path, name);

    private string FileOf(InetAddress address) => InFolder(address.ToString());

    private string FileOfClaim(string name) => InFolder($".claims/{name}");

    private string LastReservedFile(int set) => InFolder(string.Create(CultureInfo.InvariantCulture, $"last_reserved_ip.{set}"));

    // Always a new file: to cut one to length after it was written brings its size to the disk before its data, and a power cut in between leaves NULs; to cut it before, with O_TRUNC,
    // makes ext4 write it out at once (auto_da_alloc).
    private static void WriteText(string file, string text)
    {
        _ = Libc.unlink(file); // if it cannot be removed, open tells
        using var handle = Libc.open(file, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_EXCL | Libc.O_CLOEXEC, OwnerOnly);
        if (handle.IsInvalid)
            throw Libc.Failure("open", file);
        var bytes = Encoding.UTF8.GetBytes(text);
        if (Libc.write(handle, bytes, bytes.Length) != bytes.Length)
            throw Libc.Failure("write", file);
    }

    // open, read, close: the base library's way asks for locks and types as well. NULs at the end are what a power cut leaves of data that was not on the disk yet.
    private static string? ReadText(string file)
    {
        using SafeFileHandle handle = Libc.open(file, Libc.O_RDONLY | Libc.O_NONBLOCK | Libc.O_CLOEXEC, 0);
        if (handle.IsInvalid)
            return Marshal.GetLastPInvokeError() is Libc.ENOENT or Libc.ENXIO or Libc.ELOOP ? null : throw Libc.Failure("open", file);
        Span<byte> buffer = stackalloc byte[1024];
        var length = (int)Libc.read(handle, buffer, buffer.Length);
        if (length < 0)
            return Marshal.GetLastPInvokeError() == Libc.EISDIR ? null : throw Libc.Failure("read", file);
        return Encoding.UTF8.GetString(buffer[..length].TrimEnd((byte)0));
    }

    /// <summary>Says whose the addresses are, in a file beside them that is then linked to each address's name:
    /// so an address's file appears with its content or not at all, and it costs one file for all families.</summary>
    public sealed class Claim
    {
        private readonly AllocationFolder folder;
        private readonly string name;
        private readonly List<InetAddress> taken = [];

        internal Claim(AllocationFolder folder, Attachment owner)
        {
            this.folder = folder;
            name = ClaimNameOf(owner);
            try
            {
                folder.RemoveClaim(name); // of a killed ADD
                WriteText(folder.FileOfClaim(name), $"{owner.ContainerId}\r\n{owner.IfName}");
                Fault.Pass(FaultPoint.ShimClaimWritten);
            }
            catch
            {
                folder.RemoveClaim(name);
                throw;
            }
        }

        /// <summary>Takes an address, and notes it as the last one of range set <paramref name="set"/>.</summary>
        /// <returns>False when it is taken already.</returns>
        public bool Take(InetAddress address, int set)
        {
            if (Libc.link(folder.FileOfClaim(name), folder.FileOf(address)) != 0)
                return Marshal.GetLastPInvokeError() == Libc.EEXIST ? false : throw Libc.Failure("link", folder.FileOf(address));
            taken.Add(address);
            Fault.Pass(FaultPoint.ShimAddressTaken);
            WriteText(folder.LastReservedFile(set), address.ToString());
            return true;
        }

        /// <summary>Waits until the file and the names that were taken are on the disk. After a power cut before, a file may be empty, but its claim still says whose it is. Needs no lock.</summary>
        /// <exception cref="IOException">The disk fails.</exception>
        public void Persist()
        {
            Libc.Fsync(folder.FileOfClaim(name));
            Libc.Fsync(folder.path);
        }

        /// <summary>Gives everything back. Each file is ours alone since we made it, so no lock is needed, and none can keep us from cleaning up.</summary>
        public void Undo()
        {
            foreach (var address in taken)
            {
                folder.Release(address);
                Fault.Pass(FaultPoint.ShimAddressUndone);
            }

            folder.RemoveClaim(name);
        }
    }
}
