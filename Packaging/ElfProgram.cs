using System.Buffers.Binary;

namespace Overlay.Packaging;

/// <summary>What the header of a Linux program tells (elf(5)).</summary>
internal static class ElfProgram
{
    private const int Ei64Bit = 2;
    private const int EiLittleEndian = 1;
    private const uint PtInterp = 3;

    /// <summary>The architecture of a program that needs no library, in the words of images: <c>amd64</c>, <c>arm64</c> or <c>arm</c>.</summary>
    /// <param name="name">For errors.</param>
    /// <param name="content">The file.</param>
    /// <exception cref="InvalidDataException">It is none, of another architecture, or wants a dynamic linker, which an image without libraries does not have.</exception>
    public static string ArchitectureOf(string name, ReadOnlySpan<byte> content)
    {
        if (content.Length < 64 || !content.StartsWith("\u007fELF"u8) || content[5] != EiLittleEndian)
            throw new InvalidDataException($"{name} is not a program for Linux.");
        if (WantsInterpreter(content, is64: content[4] == Ei64Bit))
            throw new InvalidDataException($"{name} is linked dynamically, and the image holds no libraries; publish it with -c Static.");
        return BinaryPrimitives.ReadUInt16LittleEndian(content[18..]) switch
        {
            62 => "amd64",
            183 => "arm64",
            40 => "arm",
            var machine => throw new InvalidDataException($"{name} is for machine {machine}; expected x86-64, arm64 or arm."),
        };
    }

    private static bool WantsInterpreter(ReadOnlySpan<byte> content, bool is64)
    {
        var table = is64 ? (long)BinaryPrimitives.ReadUInt64LittleEndian(content[32..]) : BinaryPrimitives.ReadUInt32LittleEndian(content[28..]);
        var size = BinaryPrimitives.ReadUInt16LittleEndian(content[(is64 ? 54 : 42)..]);
        var count = BinaryPrimitives.ReadUInt16LittleEndian(content[(is64 ? 56 : 44)..]);
        if (table < 0 || table + ((long)size * count) > content.Length)
            throw new InvalidDataException("The program headers lie outside of the file.");
        for (var i = 0; i < count; i++)
        {
            if (BinaryPrimitives.ReadUInt32LittleEndian(content[(int)(table + (i * size))..]) == PtInterp)
                return true;
        }

        return false;
    }
}
