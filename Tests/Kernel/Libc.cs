using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Overlay.Tests.Kernel;

/// <summary>What the base library has no way to ask for.</summary>
internal static partial class Libc
{
    private const int AF_INET = 2;
    private const int AF_INET6 = 10;
    private const int SOCK_STREAM = 1;
    private const int SOCK_RAW = 3;
    private const int SOCK_CLOEXEC = 0x80000;
    private const int SIGHUP = 1;
    private const int SIGINT = 2;
    private const int SIGTERM = 15;
    private const int SIGCONT = 18;
    private const int SIGSTOP = 19;

    /// <summary>As other daemons are told to read their configuration.</summary>
    public static int Hangup(int process) => kill(process, SIGHUP);

    /// <summary>As Ctrl-C does.</summary>
    public static int Interrupt(int process) => kill(process, SIGINT);

    /// <summary>Asks a process to end.</summary>
    public static int Terminate(int process) => kill(process, SIGTERM);

    /// <summary>Holds a process up, as if it hung.</summary>
    public static int Suspend(int process) => kill(process, SIGSTOP);

    /// <summary>Lets it go on.</summary>
    public static int Resume(int process) => kill(process, SIGCONT);

    /// <summary>A raw socket of any IP protocol; Socket itself knows but a few.</summary>
    public static Socket OpenRaw(AddressFamily family, int protocol) => Open(family, SOCK_RAW, protocol);

    /// <summary>A stream socket of any IP protocol.</summary>
    public static Socket OpenStream(AddressFamily family, int protocol) => Open(family, SOCK_STREAM, protocol);

    private static Socket Open(AddressFamily family, int type, int protocol)
    {
        var descriptor = socket(family == AddressFamily.InterNetwork ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, protocol);
        return descriptor < 0 ? throw new SocketException(Marshal.GetLastPInvokeError()) : new(new SafeSocketHandle(descriptor, ownsHandle: true));
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc")]
    private static partial int kill(int process, int signal);
}
