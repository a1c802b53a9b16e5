using System.Runtime.InteropServices;
using Overlay.PolicyEngine.Model;

namespace Overlay.PolicyEngine.Selectors;

/// <summary>What selectors select, kept up to date by a <see cref="SelectorIndex{T}"/>.</summary>
public interface IMembers
{
    /// <summary>A pod is selected that was not.</summary>
    void Add(Pod pod);

    /// <summary>A pod is no longer selected; <paramref name="pod"/> equals the one that was added.</summary>
    void Remove(Pod pod);
}

/// <summary>
/// Keeps the members of selectors up to date. Pods of one namespace with equal labels form a class; what selects a class is worked out once, when
/// the class appears or its namespace's labels change. So a pod's change costs one class look-up and the sets it is in, whatever the number of selectors.
/// A changed pod is added in its new form before it is removed in its old one: count, do not toggle.
/// </summary>
/// <typeparam name="T">Members of one or several selectors together; a pod that several of them select is added once.</typeparam>
public sealed class SelectorIndex<T> where T : class, IMembers
{
    private readonly HashSet<Member> _pods = new(new ByName<Member>(member => member.Pod.Name));
    private readonly Dictionary<string, NamespaceClasses> _namespaces = [];
    private readonly Dictionary<T, FiledSelectors<T>.Filing[]> _watched = [];
    private readonly FiledSelectors<T> _selectors = new();
    private readonly HashSet<T> _found = [];

    /// <summary>A pod is new or different.</summary>
    public void SetPod(Pod pod)
    {
        if (!ByName.TryGetValue(pod.Name, out var old))
        {
            _pods.Add(Join(pod));
            return;
        }

        if (old.Pod == pod)
            return;
        _pods.Remove(old);
        _pods.Add(Join(pod));
        Leave(old);
    }

    /// <summary>A pod is gone; one that was not known is ignored.</summary>
    public void RemovePod(NamespacedName name)
    {
        if (!ByName.TryGetValue(name, out var member))
            return;
        _pods.Remove(member);
        Leave(member);
    }

    /// <summary>Labels of a namespace are known, or others than before.</summary>
    public void SetNamespace(Namespace @namespace) => Relabel(Classes(@namespace.Name), @namespace.WithNameLabel().Labels);

    /// <summary>A namespace is gone; its pods, if any are left, stay with labels unknown.</summary>
    public void RemoveNamespace(string name)
    {
        if (!_namespaces.TryGetValue(name, out var classes))
            return;
        Relabel(classes, null);
        Forget(classes);
    }

    /// <summary>Fills <paramref name="members"/> with what <paramref name="selectors"/> select, and keeps it so.</summary>
    public void Watch(T members, EquatableArray<Selector> selectors)
    {
        _watched.Add(members, selectors.Select(selector => _selectors.Add(selector, members)).ToArray());
        foreach (var @class in ClassesSelectedBy(selectors))
        {
            @class.SelectedBy = [.. @class.SelectedBy, members];
            AddAll(@class, members);
        }
    }

    /// <summary>Stops keeping <paramref name="members"/>; its content is left as it is.</summary>
    public void Unwatch(T members)
    {
        _watched.Remove(members, out var filings);
        foreach (var filing in filings!)
            _selectors.Remove(filing);
        foreach (var @class in ClassesSelectedBy(filings.Select(filing => filing.Selector).ToEquatableArray()))
            @class.SelectedBy = Array.FindAll(@class.SelectedBy, other => other != members);
    }

    private HashSet<Member>.AlternateLookup<NamespacedName> ByName => _pods.GetAlternateLookup<NamespacedName>();

    private Member Join(Pod pod)
    {
        var classes = Classes(pod.Name.Namespace);
        ref var slot = ref CollectionsMarshal.GetValueRefOrAddDefault(classes.ByLabels, pod.Labels, out _);
        var @class = slot ??= new Class(classes, pod.Labels, SelectedBy(classes, pod.Labels));
        var member = new Member(pod, @class) { Next = @class.First };
        if (@class.First is { } first)
            first.Previous = member;
        @class.First = member;
        foreach (var members in @class.SelectedBy)
            members.Add(pod);
        return member;
    }

    private void Leave(Member member)
    {
        var @class = member.Class;
        foreach (var members in @class.SelectedBy)
            members.Remove(member.Pod);
        if (member.Next is { } next)
            next.Previous = member.Previous;
        if (member.Previous is { } previous)
            previous.Next = member.Next;
        else
            @class.First = member.Next;
        if (@class.First is not null)
            return;
        @class.Classes.ByLabels.Remove(@class.Labels);
        Shrink(@class.Classes.ByLabels);
        Forget(@class.Classes);
    }

    private void Relabel(NamespaceClasses classes, Labels? labels)
    {
        if (Equals(classes.Labels, labels))
            return;
        classes.Labels = labels;
        foreach (var @class in classes.ByLabels.Values)
        {
            var before = @class.SelectedBy;
            @class.SelectedBy = SelectedBy(classes, @class.Labels);
            foreach (var members in @class.SelectedBy.Except(before))
                AddAll(@class, members);
            foreach (var members in before.Except(@class.SelectedBy))
            {
                for (var member = @class.First; member is not null; member = member.Next)
                    members.Remove(member.Pod);
            }
        }
    }

    private T[] SelectedBy(NamespaceClasses classes, Labels labels)
    {
        _selectors.Match(classes.Name, classes.Labels, labels, _found);
        if (_found.Count == 0)
            return [];
        T[] found = [.. _found];
        _found.Clear();
        return found;
    }

    private static void AddAll(Class @class, T members)
    {
        for (var member = @class.First; member is not null; member = member.Next)
            members.Add(member.Pod);
    }

    private IEnumerable<Class> ClassesSelectedBy(EquatableArray<Selector> selectors)
    {
        var namespaces = selectors.Any(selector => selector.Namespace is null)
            ? _namespaces.Values
            : selectors.Select(selector => selector.Namespace!).Distinct().Select(name => _namespaces.GetValueOrDefault(name)).OfType<NamespaceClasses>();
        foreach (var classes in namespaces)
        {
            var here = selectors.Where(selector => selector.MatchesNamespace(classes.Name, classes.Labels)).Select(selector => selector.PodSelector).ToList();
            if (here.Count == 0)
                continue;
            foreach (var @class in classes.ByLabels.Values)
            {
                if (here.Exists(selector => selector.Matches(@class.Labels)))
                    yield return @class;
            }
        }
    }

    private NamespaceClasses Classes(string name)
    {
        ref var slot = ref CollectionsMarshal.GetValueRefOrAddDefault(_namespaces, name, out _);
        return slot ??= new NamespaceClasses(name);
    }

    private void Forget(NamespaceClasses classes)
    {
        if (classes.Labels is not null || classes.ByLabels.Count > 0)
            return;
        _namespaces.Remove(classes.Name);
        Shrink(_namespaces);
    }

    // A dictionary is enumerated to its high-water mark; shrunk at a quarter, it never costs much more than what is in it.
    private static void Shrink<TKey, TValue>(Dictionary<TKey, TValue> dictionary) where TKey : notnull
    {
        if (dictionary.Capacity > 16 && dictionary.Count < dictionary.Capacity / 4)
            dictionary.TrimExcess(dictionary.Count * 2);
    }

    private sealed class NamespaceClasses(string name)
    {
        public string Name { get; } = name;

        public Labels? Labels { get; set; }

        public Dictionary<Labels, Class> ByLabels { get; } = [];
    }

    private sealed class Class(NamespaceClasses classes, Labels labels, T[] selectedBy)
    {
        public NamespaceClasses Classes { get; } = classes;

        public Labels Labels { get; } = labels;

        public T[] SelectedBy { get; set; } = selectedBy;

        public Member? First { get; set; }
    }

    private sealed class Member(Pod pod, Class @class)
    {
        public Pod Pod { get; } = pod;

        public Class Class { get; } = @class;

        public Member? Previous { get; set; }

        public Member? Next { get; set; }
    }
}
