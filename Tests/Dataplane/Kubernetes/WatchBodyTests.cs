using System.Text;
using System.Text.Json;
using Overlay.Dataplane.Datastore.Kubernetes;

namespace Overlay.Tests.Dataplane.Kubernetes;

public class WatchBodyTests
{
    private const string Watch =
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"ü\"}}}\n{\"object\":{\"a\":[1,2]},\"type\":\"MODIFIED\"}\r\n\n" +
        "{\"type\":\"DELETED\",\"object\":{}}\n{\"type\":\"BOOKMARK\",\"object\":{\"status\":{}}}\n{\"type\":\"PROMOTED\",\"more\":{\"type\":1},\"object\":{}}\n{\"type\":\"ERROR\",\"object\":{\"status\":\"Failure\"}}\n";

    [Test]
    public async Task Every_way_of_cutting_a_watch_into_pieces_gives_the_same_events()
    {
        for (var piece = 1; piece <= Encoding.UTF8.GetByteCount(Watch); piece++)
        {
            Assert.That(await ReadAsync(Watch, piece), Is.EqualTo(new[]
            {
                """Added {"metadata":{"name":"ü"}}""", """Modified {"a":[1,2]}""", "Deleted {}", """Bookmark {"status":{}}""", "Unknown {}", """Error {"status":"Failure"}""",
            }), $"{piece} bytes a piece");
        }
    }

    [Test]
    public void What_came_before_a_broken_end_is_told()
    {
        var told = new List<string>();
        Assert.That(async () => await ReadAsync(Watch[..^5], 9, told), Throws.InstanceOf<IOException>().With.Message.Contains("breaks off"));
        Assert.That(told, Has.Count.EqualTo(5));
    }

    [TestCase("garbage\n")]
    [TestCase("{\"type\":\"ADDED\"}\n")]
    [TestCase("{\"object\":{}}\n")]
    [TestCase("{\"type\":\"ADDED\",\"object\":{}\n")]
    [TestCase("[]\n")]
    public void A_line_that_is_no_event_is_told_from_one(string line)
    {
        var told = new List<string>();
        Assert.That(async () => await ReadAsync(Watch + line, 100, told), Throws.InstanceOf<JsonException>());
        Assert.That(told, Has.Count.EqualTo(6));
    }

    private static async Task<List<string>> ReadAsync(string text, int piece, List<string>? told = null)
    {
        told ??= [];
        using var buffer = new BodyBuffer(new ChunkedStream(Encoding.UTF8.GetBytes(text), piece), TimeSpan.FromMinutes(1));
        await foreach (var change in new WatchBody(buffer).EventsAsync(CancellationToken.None))
            told.Add($"{change.Type} {Encoding.UTF8.GetString(change.Object.Span)}");
        return told;
    }
}
