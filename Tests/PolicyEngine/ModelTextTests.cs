using System.Net;
using System.Net.Sockets;
using CsCheck;
using Overlay.PolicyEngine.Model;

namespace Overlay.Tests.PolicyEngine;

public class ModelTextTests
{
    private static readonly string[] OddParts = ["", "0", "00", "01", "255", "256", "4294967295", " 1", "1 ", "-1", "+1", "0x1", "١", "a", "1%"];
    private static readonly string[] Keys = ["a", "b", "c", "d/e"];
    private static readonly string[] Values = ["", "1", "2"];

    [Test]
    public void IPv4_is_read_as_the_base_library_writes_it_and_in_no_other_form()
    {
        var part = Gen.OneOf(Gen.Int[0, 300].Select(number => number.ToString(System.Globalization.CultureInfo.InvariantCulture)), Gen.OneOf(OddParts));
        part.Array[1, 5].Select(parts => string.Join('.', parts)).Sample(text =>
        {
            var expected = IPAddress.TryParse(text, out var address) && address.AddressFamily == AddressFamily.InterNetwork && address.ToString() == text;
            Assert.That(InetAddress.TryParse(text, out var read), Is.EqualTo(expected), text);
            Assert.That(expected ? read.ToString() : text, Is.EqualTo(text));
        });
    }

    [Test]
    public void Labels_in_any_order_are_the_same_labels_and_of_equal_keys_the_last_counts() =>
        Gen.Select(Gen.OneOf(Keys), Gen.OneOf(Values), (key, value) => new Label(key, value)).Array[0, 6].Sample(labels =>
        {
            var expected = labels.GroupBy(label => label.Key).Select(group => group.Last()).OrderBy(label => label.Key, StringComparer.Ordinal).ToArray();
            Assert.That(Labels.Of(labels).All.ToArray(), Is.EqualTo(expected));
            Assert.That(Labels.Of(labels), Is.EqualTo(Labels.Of(expected)));
            Assert.That(Labels.Of(labels).GetHashCode(), Is.EqualTo(Labels.Of(expected.Reverse()).GetHashCode()));
        });
}
