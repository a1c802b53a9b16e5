using Overlay.PolicyEngine.Model;

namespace Overlay.Tests;

public class EquatableArrayTests
{
    [Test]
    public void Equal_elements_in_equal_order_are_equal()
    {
        EquatableArray<int> left = [1, 2];
        EquatableArray<int> right = [1, 2];
        Assert.That(left, Is.EqualTo(right));
        Assert.That(left.GetHashCode(), Is.EqualTo(right.GetHashCode()));
        Assert.That(left == [2, 1], Is.False);
    }
}
