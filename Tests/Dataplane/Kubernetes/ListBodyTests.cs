using System.Text;
using System.Text.Json;
using Overlay.Dataplane.Datastore.Kubernetes;

namespace Overlay.Tests.Dataplane.Kubernetes;

public class ListBodyTests
{
    private const string List = """
        {"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"42","continue":"next","remainingItemCount":3},
         "items":[{"metadata":{"name":"a","labels":{"ü":"}]"}}}, {"metadata":{"name":"b"},"spec":{"x":[1,{"y":null}]}},{}]}
        """;

    [Test]
    public async Task Every_way_of_cutting_a_list_into_pieces_gives_the_same_items()
    {
        for (var piece = 1; piece <= Encoding.UTF8.GetByteCount(List); piece++)
        {
            var (items, body) = await ReadAsync(List, piece);
            Assert.That(items, Is.EqualTo(new[] { """{"metadata":{"name":"a","labels":{"ü":"}]"}}}""", """{"metadata":{"name":"b"},"spec":{"x":[1,{"y":null}]}}""", "{}" }), $"{piece} bytes a piece");
            Assert.That((body.ResourceVersion, body.Continue), Is.EqualTo(("42", "next")));
        }
    }

    [Test]
    public async Task The_order_of_properties_does_not_matter()
    {
        var (items, body) = await ReadAsync("""{"items":[{"a":1}],"more":[{"items":[]}],"metadata":{"selfLink":"","resourceVersion":"7"},"kind":"NodeList"}""", 5);
        Assert.That((items.Single(), body.ResourceVersion, body.Continue), Is.EqualTo(("""{"a":1}""", "7", "")));
    }

    [TestCase("""{"metadata":{"resourceVersion":"1"},"items":[]}""")]
    [TestCase("""{"metadata":{"resourceVersion":"1"},"items":null}""")]
    [TestCase("""{"metadata":{"resourceVersion":"1"}}""")]
    public async Task A_list_may_be_empty(string list)
    {
        var (items, body) = await ReadAsync(list, 3);
        Assert.That(items, Is.Empty);
        Assert.That(body.ResourceVersion, Is.EqualTo("1"));
    }

    [Test]
    public void A_list_that_breaks_off_anywhere_is_never_taken_for_whole()
    {
        for (var length = 0; length < List.LastIndexOf('}'); length++)
        {
            var part = List[..length];
            Assert.That(async () => await ReadAsync(part, 7), Throws.InstanceOf<IOException>(), part);
        }
    }

    [TestCase("""{"items":[1]}""")]
    [TestCase("""{"items":{}}""")]
    [TestCase("[]")]
    [TestCase("<html>")]
    public void What_is_no_list_is_told_from_one(string text) => Assert.That(async () => await ReadAsync(text, 4), Throws.InstanceOf<JsonException>());

    [Test]
    public async Task An_item_larger_than_the_buffer_is_read_and_memory_stays_at_its_size()
    {
        var large = new string('x', 1_500_000);
        var (items, _) = await ReadAsync($$$"""{"items":[{"a":"{{{large}}}"},{"b":1}],"metadata":{"resourceVersion":"1"}}""", 65536);
        Assert.That(items.Select(item => item.Length), Is.EqualTo(new[] { large.Length + 8, 7 }));
    }

    [Test]
    public void A_server_that_falls_silent_is_given_up()
    {
        using var silent = new BodyBuffer(new SilentStream(), TimeSpan.FromMilliseconds(20));
        Assert.That(async () => await silent.FillAsync(CancellationToken.None), Throws.InstanceOf<IOException>().With.Message.Contains("nothing came for"));
    }

    private static async Task<(List<string> Items, ListBody Body)> ReadAsync(string text, int piece)
    {
        using var buffer = new BodyBuffer(new ChunkedStream(Encoding.UTF8.GetBytes(text), piece), TimeSpan.FromMinutes(1));
        var body = new ListBody(buffer);
        var items = new List<string>();
        await foreach (var item in body.ItemsAsync(CancellationToken.None))
            items.Add(Encoding.UTF8.GetString(item.Span));
        return (items, body);
    }
}
