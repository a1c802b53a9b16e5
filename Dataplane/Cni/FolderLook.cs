using Overlay.CniShim.Protocol;
using Attachment = Overlay.Dataplane.Desired.Attachment;

namespace Overlay.Dataplane.Cni;

/// <summary>What a look at the folders found, on its way to the agent's loop. The loop says what may go.</summary>
/// <param name="addresses">Addresses given away.</param>
/// <param name="claims">What addresses were taken by.</param>
/// <param name="temporaries">Files that were to be renamed.</param>
/// <param name="orphans">What another plugin still has to take back.</param>
internal sealed class FolderLook(IReadOnlyList<AddressFile> addresses, IReadOnlyList<ClaimFile> claims, IReadOnlyList<TemporaryFile> temporaries, IReadOnlyList<Attachment> orphans)
{
    private readonly TaskCompletionSource<IReadOnlyList<Leftover>> _judged = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Addresses given away.</summary>
    public IReadOnlyList<AddressFile> Addresses => addresses;

    /// <summary>What addresses were taken by.</summary>
    public IReadOnlyList<ClaimFile> Claims => claims;

    /// <summary>Files that were to be renamed.</summary>
    public IReadOnlyList<TemporaryFile> Temporaries => temporaries;

    /// <summary>What another plugin still has to take back.</summary>
    public IReadOnlyList<Attachment> Orphans => orphans;

    /// <summary>When the loop said what may go: <see cref="BootClock"/>'s nanoseconds.</summary>
    public long JudgedAt { get; private set; }

    /// <summary>What may go, once the loop has said so.</summary>
    public Task<IReadOnlyList<Leftover>> Judged => _judged.Task;

    /// <summary>Says what may go.</summary>
    public void Judge(IReadOnlyList<Leftover> leftovers)
    {
        JudgedAt = BootClock.Now;
        _judged.TrySetResult(leftovers);
    }
}
