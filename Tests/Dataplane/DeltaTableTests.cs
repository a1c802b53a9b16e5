using CsCheck;
using Overlay.Dataplane.Reconcile;

namespace Overlay.Tests.Dataplane;

public class DeltaTableTests
{
    private abstract record Step
    {
        public sealed record Want(int Key, int Value) : Step;

        public sealed record Drop(int Key) : Step;

        public sealed record Observe(int Key, int Value) : Step;

        public sealed record Forget(int Key) : Step;

        public sealed record WantExactly(Dictionary<int, int> Rows) : Step;

        public sealed record ObserveExactly(Dictionary<int, int> Rows) : Step;
    }

    private static readonly Gen<int> Key = Gen.Int[0, 7];
    private static readonly Gen<int> Value = Gen.Int[0, 2];

    private static readonly Gen<Step> AnyStep = Gen.OneOf<Step>(
        Gen.Select(Key, Value, (k, v) => (Step)new Step.Want(k, v)),
        Key.Select(k => (Step)new Step.Drop(k)),
        Gen.Select(Key, Value, (k, v) => (Step)new Step.Observe(k, v)),
        Key.Select(k => (Step)new Step.Forget(k)),
        Gen.Dictionary(Key, Value)[0, 6].Select(rows => (Step)new Step.WantExactly(rows)),
        Gen.Dictionary(Key, Value)[0, 6].Select(rows => (Step)new Step.ObserveExactly(rows)));

    [Test]
    public void Pending_is_always_the_difference_of_desired_and_actual()
    {
        AnyStep.Array[0, 60].Sample(steps =>
        {
            var table = new DeltaTable<int, int>();
            Dictionary<int, int> desired = [], actual = [];
            foreach (var step in steps)
            {
                Play(step, table, ref desired, ref actual);
                var delta = table.Pending();
                var upserts = desired.Where(row => !actual.TryGetValue(row.Key, out var value) || value != row.Value).ToDictionary();
                var deletes = actual.Keys.Except(desired.Keys).Order();
                if (!delta.Upserts.ToDictionary().OrderBy(r => r.Key).SequenceEqual(upserts.OrderBy(r => r.Key)) || !delta.Deletes.Order().SequenceEqual(deletes)
                    || table.PendingCount != upserts.Count + deletes.Count()
                    || Enumerable.Range(0, 8).Any(key => table.TryGetActual(key, out var value) != actual.TryGetValue(key, out var known) || value != known))
                {
                    return false;
                }
            }

            return true;
        });
    }

    [Test]
    public void Applying_what_is_pending_leaves_nothing_pending()
    {
        var table = new DeltaTable<string, int>();
        table.ObserveExactly(new Dictionary<string, int> { ["old"] = 1, ["same"] = 2, ["other"] = 3 });
        table.WantExactly(new Dictionary<string, int> { ["same"] = 2, ["other"] = 4, ["new"] = 5 });

        var delta = table.Pending();
        Assert.That(delta.Deletes, Is.EquivalentTo(new[] { "old" }));
        Assert.That(delta.Upserts.Select(row => row.Key), Is.EquivalentTo(new[] { "other", "new" }));

        foreach (var (key, value) in delta.Upserts)
            table.Observe(key, value);
        foreach (var key in delta.Deletes)
            table.Forget(key);
        Assert.That(table.Pending().IsEmpty);
        Assert.That(table.Desired.Keys.Select(key => (key, table.TryGetActual(key, out var actual) ? actual : -1)), Is.EquivalentTo(table.Desired.Select(row => (row.Key, row.Value))));
    }

    private static void Play(Step step, DeltaTable<int, int> table, ref Dictionary<int, int> desired, ref Dictionary<int, int> actual)
    {
        switch (step)
        {
            case Step.Want(var key, var value):
                table.Want(key, value);
                desired[key] = value;
                break;
            case Step.Drop(var key):
                table.Drop(key);
                desired.Remove(key);
                break;
            case Step.Observe(var key, var value):
                table.Observe(key, value);
                actual[key] = value;
                break;
            case Step.Forget(var key):
                table.Forget(key);
                actual.Remove(key);
                break;
            case Step.WantExactly(var rows):
                table.WantExactly(rows);
                desired = new(rows);
                break;
            case Step.ObserveExactly(var rows):
                table.ObserveExactly(rows);
                actual = new(rows);
                break;
        }
    }
}
