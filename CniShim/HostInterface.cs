using System.Runtime.InteropServices;
using System.Text;
using Overlay.CniShim.Protocol;

namespace Overlay.CniShim;

/// <summary>The host's end of a pod's interface pair, which the agent makes and removes; the plugin removes it only while no agent answers. It is the end to remove: its name follows from
/// the attachment alone, it is in the namespace that the plugin is in, and the pod's end goes with it, whether the pod's namespace can still be reached or its path means another by now.
/// With it goes the device that shapes what a pod of limited bandwidth sends.</summary>
internal static class HostInterface
{
    private const string Prefix = "ovl";
    private const string ShaperPrefix = "ovb"; // the agent's rule (Ownership.Shaper)
    private const int HashDigits = 11;

    private const int HeaderSize = 16; // struct nlmsghdr
    private const int LinkSize = 16; // struct ifinfomsg
    private const int NameSize = 20; // struct rtattr and IFNAMSIZ bytes

    /// <summary>Its name: the agent's rule (Ownership.PodInterface).</summary>
    public static string NameOf(Attachment attachment) =>
        Prefix + Convert.ToHexStringLower(Sha256.Hash(Encoding.UTF8.GetBytes($"{attachment.ContainerId}\n{attachment.IfName}")))[..HashDigits];

    /// <summary>Removes it: <c>ip link delete NAME</c>; not being there is fine.</summary>
    /// <returns>Whether it was there.</returns>
    /// <exception cref="IOException">The kernel refuses.</exception>
    /// <exception cref="TimeoutException">It does not answer in time.</exception>
    public static bool Remove(Attachment attachment, Deadline deadline)
    {
        var name = NameOf(attachment);
        var socket = Libc.socket(Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC, Libc.NETLINK_ROUTE);
        using var stream = new DescriptorStream(socket) { ReadTimeout = deadline.Milliseconds, WriteTimeout = deadline.Milliseconds };
        if (socket.IsInvalid)
            throw Libc.Failure("netlink socket to remove", name);
        Remove(stream, ShaperPrefix + name[Prefix.Length..]);
        Fault.Pass(FaultPoint.ShimShaperRemoved);
        return Remove(stream, name);
    }

    private static bool Remove(DescriptorStream stream, string name)
    {
        stream.Write(Request(name));
        Span<byte> answer = stackalloc byte[1024];
        var length = stream.Read(answer);

        // struct nlmsgerr behind a header: the first word is 0 or minus an errno
        var error = length >= HeaderSize + sizeof(int) && MemoryMarshal.Read<ushort>(answer[4..]) == Libc.NLMSG_ERROR
            ? -MemoryMarshal.Read<int>(answer[HeaderSize..])
            : throw new IOException($"RTM_DELLINK {name}: the kernel's answer of {length} bytes is no acknowledgement");
        if (error is not (0 or Libc.ENODEV))
            throw new IOException($"RTM_DELLINK {name}: {Marshal.GetPInvokeErrorMessage(error)}");
        return error == 0;
    }

    // RTM_DELLINK of the device with this IFLA_IFNAME; numbers are the machine's.
    private static byte[] Request(string name)
    {
        var message = new byte[HeaderSize + LinkSize + NameSize];
        MemoryMarshal.Write(message, message.Length);
        MemoryMarshal.Write(message.AsSpan(4), Libc.RTM_DELLINK);
        MemoryMarshal.Write(message.AsSpan(6), (ushort)(Libc.NLM_F_REQUEST | Libc.NLM_F_ACK));
        var attribute = message.AsSpan(HeaderSize + LinkSize);
        MemoryMarshal.Write(attribute, (ushort)NameSize);
        MemoryMarshal.Write(attribute[2..], Libc.IFLA_IFNAME);
        Encoding.ASCII.GetBytes(name, attribute[4..]);
        return message;
    }
}
