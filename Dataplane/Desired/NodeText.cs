namespace Overlay.Dataplane.Desired;

/// <summary>Prints rows as <c>ip</c> and <c>bridge</c> show them.</summary>
public static class NodeText
{
    /// <summary>All rows, one a line, each ended by a line feed.</summary>
    public static string Print(NodeRows rows) => throw new NotImplementedException();
}
