namespace Overlay.Tests.Dataplane.Netlink;

/// <summary>A file of Tests/Golden: the command, its meaning, and bytes as hex.</summary>
public sealed record Golden(string Command, byte[] Bytes)
{
    /// <summary>Reads <c>Golden/NAME.txt</c>.</summary>
    public static Golden Read(string name)
    {
        var lines = File.ReadAllLines(Path.Combine(TestContext.CurrentContext.TestDirectory, "Golden", name + ".txt"));
        var hex = string.Concat(lines.Where(line => !line.StartsWith('#'))).Replace(" ", "", StringComparison.Ordinal);
        return new(lines[0][2..], Convert.FromHexString(hex));
    }

    /// <summary>The names in a folder of Golden that match a pattern, as <c>FOLDER/NAME</c>.</summary>
    public static IEnumerable<string> Names(string folder, string pattern) =>
        Directory.EnumerateFiles(Path.Combine(TestContext.CurrentContext.TestDirectory, "Golden", folder), pattern + ".txt")
            .Select(path => $"{folder}/{Path.GetFileNameWithoutExtension(path)}").Order(StringComparer.Ordinal);
}
