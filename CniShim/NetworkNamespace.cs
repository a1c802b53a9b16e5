using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>Which network namespace a path stands for. Looked at before anything is done: a stale <c>/proc/PID/ns/net</c> whose number was given to
/// another process has led others to take the host's own interface away (kubernetes #100648).</summary>
internal static class NetworkNamespace
{
    /// <summary>Refuses what is no network namespace, and the plugin's own.</summary>
    /// <param name="path">CNI_NETNS.</param>
    /// <param name="own">Path of the plugin's own namespace.</param>
    /// <param name="ownAllowed">CNI_NETNS_OVERRIDE.</param>
    /// <exception cref="CniException">It is not there, no network namespace, or the host's own.</exception>
    public static void Require(string path, string own, bool ownAllowed)
    {
        using var netns = Open(path);
        if (netns.IsInvalid)
            throw new CniException(CniErrorCode.InvalidNetns, $"failed to open netns \"{path}\": {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        if (Libc.ioctl(netns, Libc.NS_GET_NSTYPE) != Libc.CLONE_NEWNET)
            throw new CniException(CniErrorCode.InvalidNetns, $"CNI_NETNS \"{path}\" is no network namespace");
        if (!ownAllowed && IdentityOf(netns, path) == OwnIdentity(own))
            throw new CniException(CniErrorCode.InvalidNetns, $"plugin's netns and netns from CNI_NETNS should not be the same (\"{path}\")");
    }

    /// <summary>Whether <paramref name="path"/> is there and is the plugin's own namespace.</summary>
    public static bool IsOwn(string path, string own)
    {
        if (path.Length == 0)
            return false;
        using var netns = Open(path);
        return !netns.IsInvalid && IdentityOf(netns, path) == OwnIdentity(own);
    }

    /// <summary>Moves the calling thread, and nothing else of this process, into the namespace at <paramref name="path"/>.</summary>
    /// <exception cref="IOException">It is gone, or the kernel does not let us in.</exception>
    public static void Enter(string path)
    {
        using var netns = Open(path);
        if (netns.IsInvalid || Libc.setns(netns, Libc.CLONE_NEWNET) < 0)
            throw Libc.Failure(netns.IsInvalid ? "open" : "setns", path);
    }

    // O_NONBLOCK: should the path be a FIFO, it must not hold us
    private static SafeFileHandle Open(string path) => Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC | Libc.O_NONBLOCK, 0);

    private static (uint Major, uint Minor, ulong Inode) OwnIdentity(string own)
    {
        using var handle = Open(own);
        return handle.IsInvalid ? throw Libc.Failure("open", own) : IdentityOf(handle, own);
    }

    private static (uint Major, uint Minor, ulong Inode) IdentityOf(SafeFileHandle handle, string path) =>
        Libc.statx(handle, "", Libc.AT_EMPTY_PATH, Libc.STATX_INO, out var stat) == 0
            ? (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
            : throw Libc.Failure("statx", path);
}
