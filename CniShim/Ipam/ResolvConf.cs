using System.Buffers;
using System.Text.Json;
using Overlay.CniShim.Protocol;
using Overlay.CniShim.Spec;

namespace Overlay.CniShim.Ipam;

/// <summary>host-local's <c>ipam.resolvConf</c>: a resolv.conf(5) whose settings become the result's dns.</summary>
internal static class ResolvConf
{
    private static readonly char[] White = [' ', '\t'];

    /// <summary>Reads one.</summary>
    /// <param name="path">Where.</param>
    /// <returns>dns of a CNI result.</returns>
    /// <exception cref="CniException">With code 7: it cannot be read.</exception>
    public static JsonElement Read(string path)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CniException(CniErrorCode.InvalidConfiguration, $"cannot read ipam.resolvConf {path}: {error.Message}");
        }

        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, JsonEscaping.Options))
        {
            json.WriteStartObject();
            if (Values(lines, "domain") is [.., var domain])
                json.WriteString("domain", domain);
            foreach (var (keyword, key) in new[] { ("nameserver", "nameservers"), ("search", "search"), ("options", "options") })
            {
                json.WriteStartArray(key);
                foreach (var value in Values(lines, keyword))
                    json.WriteStringValue(value);
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        return JsonElement.Parse(buffer.WrittenSpan);
    }

    private static List<string> Values(string[] lines, string keyword) =>
        [.. lines.Select(line => line.Split(White, StringSplitOptions.RemoveEmptyEntries)).Where(words => words is [var first, ..] && first == keyword).SelectMany(words => words[1..])];
}
