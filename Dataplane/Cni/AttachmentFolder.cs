using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Cni;

/// <summary>This node's attachments on disk: <c>stateDir/attachments/CONTAINER-IFNAME.json</c>, one file each, so that a restarted agent knows its pods.</summary>
/// <param name="stateDir">The configuration's <c>stateDir</c>; made when it is not there.</param>
public sealed class AttachmentFolder(string stateDir)
{
    private readonly string _folder = Path.Combine(stateDir, "attachments");

    /// <summary>All attachments, sorted by file name.</summary>
    /// <param name="broken">One sentence for each file that cannot be read; such files are left alone.</param>
    public IReadOnlyList<Attachment> ReadAll(out IReadOnlyList<string> broken) => throw new NotImplementedException(_folder);

    /// <summary>Writes or replaces one; whole or not at all.</summary>
    public void Write(Attachment attachment) => throw new NotImplementedException();

    /// <summary>Removes one; not being there is fine.</summary>
    public void Delete(AttachmentKey key) => throw new NotImplementedException();
}
