using System.Runtime.ExceptionServices;
using Microsoft.Win32.SafeHandles;

namespace Overlay.Dataplane.Netlink;

/// <summary>What tells one namespace from another: the device and inode of its file in nsfs (namespaces(7)).</summary>
public readonly record struct NetnsIdentity(ulong Device, ulong Inode);

/// <summary>
/// A network namespace held open: it lives at least as long as this object, whatever becomes of its processes and its path.
/// Names are those of ip-netns(8): files in <c>/run/netns</c>.
/// </summary>
public sealed class Netns : IDisposable
{
    /// <summary>Where ip-netns(8) keeps named namespaces.</summary>
    public const string Directory = "/run/netns";

    private readonly SafeFileHandle _handle;

    private Netns(string path, SafeFileHandle handle, NetnsIdentity identity)
    {
        Path = path;
        _handle = handle;
        Identity = identity;
    }

    /// <summary>The path it was opened by.</summary>
    public string Path { get; }

    /// <summary>Equal for two paths of the same namespace.</summary>
    public NetnsIdentity Identity { get; }

    /// <summary>Whether this process (its main thread) lives in it.</summary>
    public bool IsOwn
    {
        get
        {
            using var own = Own();
            return own.Identity == Identity;
        }
    }

    /// <summary>For IFLA_NET_NS_FD while this object is not disposed.</summary>
    public int Descriptor => (int)_handle.DangerousGetHandle();

    /// <summary>The namespace this process (its main thread) lives in.</summary>
    public static Netns Own() => Open("/proc/self/ns/net");

    /// <summary>The path of the namespace that <c>ip netns</c> knows as <paramref name="name"/>.</summary>
    public static string PathOf(string name) => System.IO.Path.Combine(Directory, name);

    /// <summary>Opens the namespace at <paramref name="path"/>.</summary>
    /// <exception cref="NetnsException">There is none.</exception>
    public static Netns Open(string path)
    {
        var handle = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC | Libc.O_NONBLOCK, 0);
        if (handle.IsInvalid)
            throw Libc.LastErrno switch
            {
                Errno.ENOENT or Errno.ENOTDIR => new NetnsException(NetnsFault.Absent, $"There is no network namespace at {path}: no such file."),
                var errno => new NetnsException(NetnsFault.Refused, $"The network namespace at {path} cannot be opened: {errno}."),
            };
        try
        {
            // nsfs alone answers this ioctl; the path of a deleted namespace is an ordinary empty file.
            if (Libc.ioctl(handle, Libc.NS_GET_NSTYPE) != Libc.CLONE_NEWNET)
                throw new NetnsException(NetnsFault.NotANamespace, $"{path} is not a network namespace; expected one as 'ip netns add' makes it.");
            if (Libc.statx(handle, "", Libc.AT_EMPTY_PATH, Libc.STATX_INO, out var status) < 0)
                throw new NetnsException(NetnsFault.Refused, $"statx of {path}: {Libc.LastErrno}.");
            return new(path, handle, new(((ulong)status.DeviceMajor << 32) | status.DeviceMinor, status.Inode));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Opens the namespace at <paramref name="path"/>, which must not be the one this process lives in: a pod's, never the node's.</summary>
    /// <exception cref="NetnsException">There is none, or it is our own.</exception>
    public static Netns OpenForeign(string path)
    {
        var netns = Open(path);
        if (!netns.IsOwn)
            return netns;
        netns.Dispose();
        throw new NetnsException(NetnsFault.Own, $"{path} is the network namespace of the node itself; expected a pod's own.");
    }

    /// <summary>
    /// Runs <paramref name="body"/> on a thread inside the namespace and returns when it has: sockets opened and processes started there
    /// belong to the namespace for good. The thread ends afterwards, so that no other work can ever find itself in a wrong namespace;
    /// asynchronous work does not stay on the thread and must not be started here.
    /// </summary>
    /// <exception cref="NetnsException">The kernel does not let us in (EPERM: CAP_SYS_ADMIN is needed).</exception>
    public T Run<T>(Func<T> body)
    {
        ArgumentNullException.ThrowIfNull(body);
        return OnThreadOfItsOwn(() => Libc.setns(_handle, Libc.CLONE_NEWNET) < 0
            ? throw new NetnsException(NetnsFault.Refused, $"Entering the network namespace {Path}: {Libc.LastErrno}.")
            : body());
    }

    /// <summary>As <see cref="Run{T}"/>, without a result.</summary>
    /// <exception cref="NetnsException">The kernel does not let us in.</exception>
    public void Run(Action body)
    {
        ArgumentNullException.ThrowIfNull(body);
        Run(() =>
        {
            body();
            return true;
        });
    }

    /// <summary>
    /// Opens a socket inside the namespace, for use from anywhere: a netlink socket stays where it was opened. The calling thread is inside for that one call
    /// only, a twentieth of what a thread of its own takes.
    /// </summary>
    /// <exception cref="NetnsException">The kernel does not let us in.</exception>
    /// <exception cref="NetlinkException">The kernel has no such family, or there are no descriptors left.</exception>
    public NetlinkSocket OpenSocket(NetlinkProtocol protocol)
    {
        using var before = Libc.open("/proc/thread-self/ns/net", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (before.IsInvalid)
            throw new NetnsException(NetnsFault.Refused, $"Opening /proc/thread-self/ns/net: {Libc.LastErrno}.");
        if (Libc.setns(_handle, Libc.CLONE_NEWNET) < 0)
            throw new NetnsException(NetnsFault.Refused, $"Entering the network namespace {Path}: {Libc.LastErrno}.");
        try
        {
            return NetlinkSocket.Open(protocol);
        }
        finally
        {
            // Whatever runs on this thread next would run in a pod.
            if (Libc.setns(before, Libc.CLONE_NEWNET) < 0)
                Environment.FailFast($"Leaving the network namespace {Path}: {Libc.LastErrno}.");
        }
    }

    /// <summary>Makes a new namespace that <c>ip netns</c> knows as <paramref name="name"/>. Equivalent to: <c>ip netns add NAME</c>.</summary>
    /// <exception cref="NetnsException">The name is taken, or the kernel refuses.</exception>
    public static Netns Create(string name)
    {
        ShareDirectory();
        var path = PathOf(name);
        using (var file = Libc.open(path, Libc.O_RDONLY | Libc.O_CREAT | Libc.O_EXCL | Libc.O_CLOEXEC, 0))
            if (file.IsInvalid)
                throw new NetnsException(NetnsFault.Refused, $"The network namespace {path} cannot be made: {Libc.LastErrno}.");
        try
        {
            OnThreadOfItsOwn(() =>
            {
                Check(Libc.unshare(Libc.CLONE_NEWNET), "unshare(CLONE_NEWNET)");
                return Check(Libc.mount("/proc/thread-self/ns/net", path, "none", Libc.MS_BIND, null), $"mount --bind /proc/thread-self/ns/net {path}");
            });
            return Open(path);
        }
        catch
        {
            Delete(name);
            throw;
        }
    }

    /// <summary>
    /// Makes a new namespace without a name: nothing of it can be left behind, it ends with its last process, socket or descriptor. While this
    /// object and this process live, others reach it by <see cref="Path"/>.
    /// </summary>
    /// <exception cref="NetnsException">The kernel refuses (EPERM: CAP_SYS_ADMIN is needed).</exception>
    public static Netns Create()
    {
        var made = OnThreadOfItsOwn(() =>
        {
            Check(Libc.unshare(Libc.CLONE_NEWNET), "unshare(CLONE_NEWNET)");
            return Open("/proc/thread-self/ns/net");
        });
        return new($"/proc/{Environment.ProcessId}/fd/{made.Descriptor}", made._handle, made.Identity);
    }

    /// <summary>Takes the name away; the namespace itself ends with its last process, mount or open descriptor. Nothing there is success. Equivalent to: <c>ip netns delete NAME</c>.</summary>
    /// <exception cref="NetnsException">The kernel refuses.</exception>
    public static void Delete(string name)
    {
        var path = PathOf(name);
        if (Libc.umount2(path, Libc.MNT_DETACH) < 0 && Libc.LastErrno is not (Errno.EINVAL or Errno.ENOENT))
            throw new NetnsException(NetnsFault.Refused, $"umount {path}: {Libc.LastErrno}.");
        File.Delete(path);
    }

    /// <summary>Lets the namespace go.</summary>
    public void Dispose() => _handle.Dispose();

    // As ip-netns(8): /run/netns is a shared mount, so that a name taken away here goes away in every other mount namespace too and does
    // not keep the namespace alive there. The lock keeps two processes from mounting it over each other's names.
    private static void ShareDirectory()
    {
        System.IO.Directory.CreateDirectory(Directory);
        using var directory = Libc.open(Directory, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        Check(Libc.flock(directory, Libc.LOCK_EX), $"flock {Directory}");
        if (Libc.mount("", Directory, "none", Libc.MS_SHARED | Libc.MS_REC, null) == 0)
            return;
        if (Libc.LastErrno != Errno.EINVAL)
            Check(-1, $"mount --make-shared {Directory}");
        Check(Libc.mount(Directory, Directory, "none", Libc.MS_BIND | Libc.MS_REC, null), $"mount --bind {Directory}");
        Check(Libc.mount("", Directory, "none", Libc.MS_SHARED | Libc.MS_REC, null), $"mount --make-shared {Directory}");
    }

    private static int Check(int result, string call) => result >= 0
        ? result
        : throw new NetnsException(NetnsFault.Refused, $"{call}: {Libc.LastErrno}.");

    private static T OnThreadOfItsOwn<T>(Func<T> body)
    {
        T? result = default;
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                result = body();
            }
#pragma warning disable CA1031 // Not handled here: thrown again where the caller is.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                failure = ExceptionDispatchInfo.Capture(exception);
            }
        }) { IsBackground = true, Name = "netns" };
        thread.Start();
        thread.Join();
        failure?.Throw();
        return result!;
    }
}
