using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Overlay.CniShim.Protocol;

/// <summary>Escapes in texts what JSON demands (RFC 8259, section 7) and nothing else. The base library's encoders first make tables of all of Unicode, which took two thirds of the plugin's own instructions.</summary>
internal sealed class JsonEscaping : JavaScriptEncoder
{
    /// <summary>For every <see cref="Utf8JsonWriter"/> of ours.</summary>
    public static readonly JsonWriterOptions Options = new() { Encoder = new JsonEscaping() };

    /// <inheritdoc/>
    public override int MaxOutputCharactersPerInputCharacter => 6;

    /// <inheritdoc/>
    public override bool WillEncode(int unicodeScalar) => unicodeScalar is < ' ' or '"' or '\\';

    /// <inheritdoc/>
    /// <remarks>Halves of surrogate pairs too: the base class tells the lonely ones.</remarks>
    public override unsafe int FindFirstCharacterToEncode(char* text, int textLength)
    {
        for (var i = 0; i < textLength; i++)
        {
            if (WillEncode(text[i]) || char.IsSurrogate(text[i]))
                return i;
        }

        return -1;
    }

    /// <inheritdoc/>
    public override unsafe bool TryEncodeUnicodeScalar(int unicodeScalar, char* buffer, int bufferLength, out int numberOfCharactersWritten)
    {
        Span<char> destination = new(buffer, bufferLength);
        return unicodeScalar switch
        {
            '"' or '\\' => destination.TryWrite($"\\{(char)unicodeScalar}", out numberOfCharactersWritten),
            '\n' => destination.TryWrite($"\\n", out numberOfCharactersWritten),
            _ => destination.TryWrite(CultureInfo.InvariantCulture, $"\\u{unicodeScalar:X4}", out numberOfCharactersWritten),
        };
    }
}
