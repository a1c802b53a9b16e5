using System.Runtime.InteropServices;

namespace Overlay.Dataplane.Capture;

/// <summary>
/// A filter as tcpdump(8) has it (pcap-filter(7)), compiled and applied by libpcap, where the machine has that: the one thing here that needs a library, which is looked for only when
/// such a filter is given.
/// </summary>
internal sealed unsafe class PcapExpression : IDisposable
{
    // As Debian, everybody else, and who develops with it call it.
    private static readonly string[] Libraries = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];
    private const uint UnknownNetmask = 0xffffffff;

    private readonly nint _library;
    private BpfProgram _program;

    private PcapExpression(nint library, BpfProgram program) => (_library, _program) = (library, program);

    /// <summary>Compiles.</summary>
    /// <exception cref="CaptureException">It is none, or there is no libpcap.</exception>
    public static PcapExpression Compile(string expression, int snapLength)
    {
        var library = Libraries.Select(name => NativeLibrary.TryLoad(name, out var handle) ? handle : 0).FirstOrDefault(handle => handle != 0);
        if (library == 0)
            throw new CaptureException("--filter needs libpcap, which is not here (in the container's image it never is): use --protocol, --port, --pod and --namespace, or pipe -w - into 'tcpdump -r - FILTER'.");
        var pcap = ((delegate* unmanaged<int, int, nint>)NativeLibrary.GetExport(library, "pcap_open_dead"))(PcapFile.LinkType, snapLength);
        try
        {
            BpfProgram program;
            var text = Marshal.StringToCoTaskMemUTF8(expression);
            var result = ((delegate* unmanaged<nint, BpfProgram*, nint, int, uint, int>)NativeLibrary.GetExport(library, "pcap_compile"))(pcap, &program, text, 1, UnknownNetmask);
            Marshal.FreeCoTaskMem(text);
            return result == 0
                ? new(library, program)
                : throw new CaptureException($"--filter '{expression}': {Marshal.PtrToStringUTF8(((delegate* unmanaged<nint, nint>)NativeLibrary.GetExport(library, "pcap_geterr"))(pcap))}; see pcap-filter(7).");
        }
        finally
        {
            ((delegate* unmanaged<nint, void>)NativeLibrary.GetExport(library, "pcap_close"))(pcap);
        }
    }

    /// <summary>Whether a packet is one of those.</summary>
    public bool Matches(Frame frame)
    {
        var packet = PcapFile.Packet(PcapFile.Record(frame));
        var header = new PacketHeader { Captured = (uint)packet.Length, Length = (uint)(packet.Length - frame.Bytes.Length + frame.Length) };
        var filter = (delegate* unmanaged<BpfProgram*, PacketHeader*, byte*, int>)NativeLibrary.GetExport(_library, "pcap_offline_filter");
        fixed (BpfProgram* program = &_program)
        fixed (byte* bytes = packet)
            return filter(program, &header, bytes) != 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        fixed (BpfProgram* program = &_program)
            ((delegate* unmanaged<BpfProgram*, void>)NativeLibrary.GetExport(_library, "pcap_freecode"))(program);
    }

    /// <summary><c>struct bpf_program</c> (pcap/bpf.h).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct BpfProgram
    {
        public uint Length;
        public void* Instructions;
    }

    /// <summary><c>struct pcap_pkthdr</c> (pcap/pcap.h); no filter asks for the time.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PacketHeader
    {
        public nint Seconds;
        public nint Microseconds;
        public uint Captured;
        public uint Length;
    }
}
