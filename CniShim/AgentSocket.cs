using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>The one connection that the plugin makes.</summary>
internal static class AgentSocket
{
    private static readonly TimeSpan BusyPause = TimeSpan.FromMilliseconds(5);

    /// <summary>Connects to a Unix stream socket.</summary>
    /// <param name="path">Its file.</param>
    /// <param name="deadline">Until when to wait for a server that has a full queue; one that is not there is not waited for.</param>
    /// <param name="whyNot">A few words, when nobody accepts.</param>
    /// <returns>Null when nobody accepts; the stream has timeouts.</returns>
    /// <exception cref="CniException">With code 5: we may not connect.</exception>
    public static Stream? Connect(string path, Deadline deadline, out string whyNot) =>
        OperatingSystem.IsWindows() ? ConnectOnWindows(path, out whyNot) : ConnectByLibc(path, deadline, out whyNot);

    private static DescriptorStream? ConnectByLibc(string path, Deadline deadline, out string whyNot)
    {
        var address = new Libc.SockaddrUn();
        if (Encoding.UTF8.GetByteCount(path) >= Libc.SockaddrUn.PathSize)
        {
            whyNot = $"its path is longer than the {Libc.SockaddrUn.PathSize - 1} bytes that a socket's may have";
            return null;
        }

        address.SetPath(path);
        var socket = Libc.socket(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, 0);
        try
        {
            if (socket.IsInvalid)
                throw Libc.Failure("socket for", path);
            while (Libc.connect(socket, in address, Marshal.SizeOf<Libc.SockaddrUn>()) < 0)
            {
                whyNot = Libc.ErrorMessage;
                switch (Marshal.GetLastPInvokeError())
                {
                    case Libc.EACCES or Libc.EPERM:
                        throw new CniException(CniErrorCode.Io, $"may not connect to the agent at {path}: {whyNot}");
                    case Libc.EINTR:
                        break;
                    case Libc.EAGAIN when !deadline.Passed: // its queue is full, see unix(7)
                        Thread.Sleep(BusyPause);
                        break;
                    default:
                        socket.Dispose();
                        return null;
                }
            }

            whyNot = "";
            return new(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static NetworkStream? ConnectOnWindows(string path, out string whyNot)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            whyNot = "";
            return new(socket, ownsSocket: true);
        }
        catch (SocketException error)
        {
            socket.Dispose();
            whyNot = error.Message;
            return error.SocketErrorCode == SocketError.AccessDenied ? throw new CniException(CniErrorCode.Io, $"may not connect to the agent at {path}: {whyNot}") : null;
        }
    }
}
