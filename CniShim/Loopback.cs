using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim;

/// <summary>The plugin <c>loopback</c>, which containerd and CRI-O call for every pod beside the network's own: brings <c>lo</c> up. No agent, no addresses.
/// The kernel gives <c>lo</c> its addresses, and takes it away with the namespace: DEL has nothing to do.</summary>
/// <param name="environment">The world.</param>
/// <param name="variables">Give the namespace; the interface is <c>lo</c> whatever CNI_IFNAME says, as with the plugin of containernetworking.</param>
/// <param name="configuration">Gives the version and, when we are chained, the result so far.</param>
internal sealed class Loopback(CniEnvironment environment, CniVariables variables, NetworkConfiguration configuration)
{
    /// <summary>The <c>type</c> in a network configuration that calls this plugin: the name of its file.</summary>
    public const string Type = "loopback";

    private const string Interface = "lo";
    private const string Addresses = "/proc/thread-self/net/if_inet6";

    /// <summary>ADD: brings it up.</summary>
    /// <returns>Writes the result.</returns>
    /// <exception cref="CniException">The namespace cannot be entered, or the kernel refuses.</exception>
    public Action<Utf8JsonWriter> Add()
    {
        var hasIPv6 = Inside(socket =>
        {
            var request = new Libc.Ifreq(Interface);
            Call(socket, Libc.SIOCGIFFLAGS, ref request);
            request.Flags |= Libc.IFF_UP;
            Call(socket, Libc.SIOCSIFFLAGS, ref request);

            // The kernel's own list, of this thread's namespace: there is no ::1 where IPv6 is off.
            return File.Exists(Addresses) && File.ReadAllText(Addresses).Contains("00000000000000000000000000000001", StringComparison.Ordinal);
        });
        return json => Write(json, hasIPv6);
    }

    /// <summary>CHECK: whether it is up.</summary>
    /// <exception cref="CniException">It is not.</exception>
    public void Check() => Inside(socket =>
    {
        var request = new Libc.Ifreq(Interface);
        Call(socket, Libc.SIOCGIFFLAGS, ref request);
        return (request.Flags & Libc.IFF_UP) != 0 ? true : throw new CniException(CniErrorCode.CheckFailed, $"{Interface} in {variables.Netns} is down");
    });

    private void Write(Utf8JsonWriter json, bool hasIPv6)
    {
        if (configuration.PrevResult is { } previous)
        {
            ResultConversion.WriteResult(json, previous, configuration.CniVersion);
            return;
        }

        json.WriteStartObject();
        json.WriteString("cniVersion", configuration.CniVersion);
        json.WriteStartArray("interfaces");
        json.WriteStartObject();
        json.WriteString("name", Interface);
        json.WriteString("mac", "00:00:00:00:00:00");
        json.WriteString("sandbox", variables.Netns);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteStartArray("ips");
        WriteIP(json, "4", "127.0.0.1/8");
        if (hasIPv6)
            WriteIP(json, "6", "::1/128");
        json.WriteEndArray();
        json.WriteStartObject("dns");
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void WriteIP(Utf8JsonWriter json, string version, string address)
    {
        json.WriteStartObject();
        if (!CniVersion.IsAtLeast(configuration.CniVersion, "1.0.0"))
            json.WriteString("version", version);
        json.WriteNumber("interface", 0);
        json.WriteString("address", address);
        json.WriteEndObject();
    }

    private static void Call(SafeHandle socket, nuint request, ref Libc.Ifreq argument)
    {
        if (Libc.ioctl(socket, request, ref argument) < 0)
            throw Libc.Failure("ioctl", Interface);
    }

    // On a thread of its own, which ends: nothing else of this process is ever in the pod's namespace.
    private T Inside<T>(Func<SafeHandle, T> body)
    {
        NetworkNamespace.Require(variables.Netns, environment.OwnNetns, variables.NetnsOverride);
        T? result = default;
        ExceptionDispatchInfo? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                NetworkNamespace.Enter(variables.Netns);
                using var socket = Libc.socket(Libc.AF_INET, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0);
                result = socket.IsInvalid ? throw Libc.Failure("socket in", variables.Netns) : body(socket);
            }
            catch (Exception error) when (error is CniException or IOException or UnauthorizedAccessException)
            {
                failure = ExceptionDispatchInfo.Capture(error);
            }
        });
        thread.Start();
        thread.Join();
        failure?.Throw();
        return result!;
    }
}
