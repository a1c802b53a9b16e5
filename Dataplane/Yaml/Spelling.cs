namespace Overlay.Dataplane.Yaml;

/// <summary>Finds the word that was meant.</summary>
internal static class Spelling
{
    /// <summary>The one of <paramref name="words"/> within two changed, missing or extra letters (a third of a short word at most), or null.</summary>
    public static string? Nearest(string written, IEnumerable<string> words)
    {
        if (written.Length > 64)
            return null;
        var most = Math.Min(2, written.Length / 3);
        return words
            .Select(word => (Word: word, Distance: Distance(written.ToUpperInvariant(), word.ToUpperInvariant())))
            .Where(candidate => candidate.Distance <= most)
            .OrderBy(candidate => candidate.Distance)
            .ThenBy(candidate => candidate.Word, StringComparer.Ordinal)
            .Select(candidate => candidate.Word)
            .FirstOrDefault();
    }

    // Levenshtein's, row by row.
    private static int Distance(string left, string right)
    {
        var row = Enumerable.Range(0, right.Length + 1).ToArray();
        foreach (var letter in left)
        {
            var diagonal = row[0]++;
            for (var i = 1; i <= right.Length; i++)
            {
                var substituted = diagonal + (letter == right[i - 1] ? 0 : 1);
                diagonal = row[i];
                row[i] = Math.Min(substituted, Math.Min(row[i], row[i - 1]) + 1);
            }
        }

        return row[^1];
    }
}
