using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;

namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>Every constant under Dataplane/Netlink that carries a kernel name has the value the C headers give it, by the C compiler's word.</summary>
public partial class KernelConstantsTests
{
    private const string Headers = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <limits.h>
        #include <sched.h>
        #include <stddef.h>
        #include <sys/eventfd.h>
        #include <sys/file.h>
        #include <sys/mount.h>
        #include <sys/socket.h>
        #include <sys/stat.h>
        #include <sys/statvfs.h>
        #include <sys/timex.h>
        #include <unistd.h>
        #include <netinet/in.h>
        #include <linux/ethtool.h>
        #include <linux/if.h>
        #include <linux/if_ether.h>
        #include <linux/if_packet.h>
        #include <poll.h>
        #include <linux/if_addr.h>
        #include <linux/if_link.h>
        #include <linux/if_tunnel.h>
        #include <linux/lwtunnel.h>
        #include <linux/neighbour.h>
        #include <linux/netconf.h>
        #include <linux/netlink.h>
        #include <linux/nsfs.h>
        #include <linux/pkt_cls.h>
        #include <linux/pkt_sched.h>
        #include <linux/rtnetlink.h>
        #include <linux/sockios.h>
        #include <linux/tc_act/tc_mirred.h>
        #include <linux/veth.h>
        #include <linux/netfilter.h>
        #include <linux/netfilter/nf_conntrack_common.h>
        #include <linux/netfilter/nf_nat.h>
        #include <linux/netfilter/nf_tables.h>
        #include <linux/netfilter/nfnetlink.h>
        #include <linux/netfilter/nfnetlink_conntrack.h>

        """;

    [Test]
    public void Constants_equal_the_kernels()
    {
        var constants = Constants().Distinct().ToList();
        Assert.That(constants, Has.Count.GreaterThan(400), "the search for constants finds too few");
        var program = new StringBuilder(Headers);
        foreach (var (name, value) in constants)
            program.AppendLine(CultureInfo.InvariantCulture, $"_Static_assert((long long)({name}) == {value}LL, \"{name} is not {value}\");");
        Assert.That(Compile(program.ToString()), Is.Empty);
    }

    [Test]
    public void Fields_of_statx_are_where_the_headers_have_them() =>
        Assert.That(Compile($"""
            {Headers}
            _Static_assert(sizeof(struct statx) == {Marshal.SizeOf<Libc.Statx>()}, "size");
            _Static_assert(offsetof(struct statx, stx_ino) == {Marshal.OffsetOf<Libc.Statx>(nameof(Libc.Statx.Inode))}, "stx_ino");
            _Static_assert(offsetof(struct statx, stx_dev_major) == {Marshal.OffsetOf<Libc.Statx>(nameof(Libc.Statx.DeviceMajor))}, "stx_dev_major");
            _Static_assert(offsetof(struct statx, stx_dev_minor) == {Marshal.OffsetOf<Libc.Statx>(nameof(Libc.Statx.DeviceMinor))}, "stx_dev_minor");
            """), Is.Empty);

    [Test]
    public void Fields_of_other_structures_are_where_the_headers_have_them()
    {
        (string Type, string Field, nint Offset)[] fields =
        [
            ("ethtool_drvinfo", "driver", Marshal.OffsetOf<Libc.EthtoolDriver>(nameof(Libc.EthtoolDriver.Driver))),
            ("ethtool_value", "data", Marshal.OffsetOf<Libc.EthtoolValue>(nameof(Libc.EthtoolValue.Value))),
            ("ifreq", "ifr_ifru", Marshal.OffsetOf<Libc.Ifreq>(nameof(Libc.Ifreq.Argument))),
            ("statvfs", "f_frsize", Marshal.OffsetOf<Libc.Statvfs>(nameof(Libc.Statvfs.FragmentSize))),
            ("statvfs", "f_bavail", Marshal.OffsetOf<Libc.Statvfs>(nameof(Libc.Statvfs.AvailableBlocks))),
            ("statvfs", "f_files", Marshal.OffsetOf<Libc.Statvfs>(nameof(Libc.Statvfs.Files))),
            ("statvfs", "f_favail", Marshal.OffsetOf<Libc.Statvfs>(nameof(Libc.Statvfs.AvailableFiles))),
            ("sockaddr_ll", "sll_hatype", Marshal.OffsetOf<Libc.SockaddrLl>(nameof(Libc.SockaddrLl.HardwareType))),
            ("sockaddr_ll", "sll_pkttype", Marshal.OffsetOf<Libc.SockaddrLl>(nameof(Libc.SockaddrLl.PacketType))),
            ("sockaddr_ll", "sll_addr", Marshal.OffsetOf<Libc.SockaddrLl>(nameof(Libc.SockaddrLl.Address))),
            ("tpacket_stats", "tp_drops", Marshal.OffsetOf<Libc.TpacketStats>(nameof(Libc.TpacketStats.Drops))),
            ("iovec", "iov_len", Marshal.OffsetOf<Libc.Iovec>(nameof(Libc.Iovec.Length))),
            ("msghdr", "msg_iov", Marshal.OffsetOf<Libc.Msghdr>(nameof(Libc.Msghdr.Vectors))),
            ("msghdr", "msg_control", Marshal.OffsetOf<Libc.Msghdr>(nameof(Libc.Msghdr.Control))),
            ("msghdr", "msg_flags", Marshal.OffsetOf<Libc.Msghdr>(nameof(Libc.Msghdr.Flags))),
            ("timex", "status", Marshal.OffsetOf<Libc.Timex>(nameof(Libc.Timex.Status))),
        ];
        (string Type, int Size)[] rooms =
        [
            ("ethtool_drvinfo", Marshal.SizeOf<Libc.EthtoolDriver>()), ("ethtool_value", Marshal.SizeOf<Libc.EthtoolValue>()), ("ifreq", Marshal.SizeOf<Libc.Ifreq>()),
            ("statvfs", Marshal.SizeOf<Libc.Statvfs>()), ("timex", Marshal.SizeOf<Libc.Timex>()),
            ("sockaddr_ll", Marshal.SizeOf<Libc.SockaddrLl>()), ("tpacket_stats", Marshal.SizeOf<Libc.TpacketStats>()), ("msghdr", Marshal.SizeOf<Libc.Msghdr>()),
        ];
        Assert.That(Compile(Headers
            + string.Concat(fields.Select(field => $"_Static_assert(offsetof(struct {field.Type}, {field.Field}) == {field.Offset}, \"{field.Type}.{field.Field}\");\n"))
            + string.Concat(rooms.Select(room => $"_Static_assert(sizeof(struct {room.Type}) <= {room.Size}, \"{room.Type}\");\n"))), Is.Empty);
    }

    [Test]
    public void A_wrong_value_would_be_noticed() =>
        Assert.That(Compile(Headers + "_Static_assert((long long)(RTM_NEWLINK) == 17LL, \"RTM_NEWLINK is not 17\");\n"), Does.Contain("RTM_NEWLINK is not 17"));

    private static IEnumerable<(string Name, string Value)> Constants() =>
        from type in typeof(NetlinkSocket).Assembly.GetTypes()
        where type.Namespace?.StartsWith("Overlay.Dataplane.Netlink", StringComparison.Ordinal) == true
        where type != typeof(NftnlUdata) // libnftnl's own numbers, which no header has
        from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
        where (field.IsLiteral || field.IsInitOnly && field.FieldType.IsPrimitive) && KernelName().IsMatch(field.Name)
        let value = field.GetValue(null)
        where value is not string
        select (field.Name, Convert.ToString(value is Enum member ? Convert.ChangeType(member, Enum.GetUnderlyingType(field.FieldType), CultureInfo.InvariantCulture) : value, CultureInfo.InvariantCulture)!);

    // EPERM, AF_INET, IN6_ADDR_GEN_MODE_NONE, RTNLGRP_DECnet_ROUTE; not None, not HeaderLength.
    [GeneratedRegex("^(E[A-Z0-9]{2,}|[A-Z][A-Z0-9]*_[A-Za-z0-9_]+)$")]
    private static partial Regex KernelName();

    // The compiler's errors about our lines, nothing when there are none.
    private static string Compile(string program)
    {
        try
        {
            using var gcc = Process.Start(new ProcessStartInfo("gcc", "-fsyntax-only -x c -") { RedirectStandardInput = true, RedirectStandardError = true, Environment = { ["LC_ALL"] = "C" } })!;
            var errors = gcc.StandardError.ReadToEndAsync();
            gcc.StandardInput.Write(program);
            gcc.StandardInput.Close();
            gcc.WaitForExit();
            var text = string.Join('\n', errors.GetAwaiter().GetResult().Split('\n').Where(line => line.Contains("error:", StringComparison.Ordinal)));
            if (text.Contains("fatal error:", StringComparison.Ordinal))
                Assert.Ignore($"The kernel's headers are not complete here: {text}");
            return text;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Ignore("Needs gcc and the kernel's headers (linux-libc-dev).");
            throw;
        }
    }
}
