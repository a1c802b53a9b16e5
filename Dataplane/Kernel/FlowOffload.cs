using Overlay.Dataplane.Desired;
using Overlay.Dataplane.Netlink;
using Overlay.Dataplane.Netlink.Netfilter;
using Overlay.Dataplane.Netlink.Netfilter.Expressions;
using Overlay.PolicyEngine.Compile;
using Overlay.PolicyEngine.Model;
using Overlay.PolicyEngine.Nftables;

namespace Overlay.Dataplane.Kernel;

/// <summary>
/// The short way for established connections between pods: <c>table inet overlay-offload</c>, whose flowtable sends their packets on at the ingress of a pod's interface or of a tunnel,
/// past routing, connection tracking and every chain. The first packets of a connection take the long way, and what the chains accept the last chain of all puts into the flowtable; the kernel takes it out
/// again when it ends, when it is silent for a while, or when a route changes. Not every kernel has flowtables, and nothing depends on them.
/// A connection that policy now forbids is brought back to the long way, where its mark is looked at, by making the table anew (<see cref="Forget"/>). Any thread may call.
/// </summary>
public sealed class FlowOffload : IDisposable
{
    /// <summary>Name of the table, of the family inet. Everything in it is ours.</summary>
    public const string Table = "overlay-offload";

    private const string Flowtable = "pods";
    private const string Chain = "forward";
    private const string Pods = RulesetOptions.PodInterfacePrefix + "*";
    private const string Tunnels = Ownership.TunnelPrefix + "*";

    // IPS_SRC_NAT | IPS_DST_NAT (linux/netfilter/nf_conntrack_common.h).
    private const uint Translated = 0x10 | 0x20;

    // Older ones go on sending by a route that is gone (e5075c0badaa and what came with it, in 5.13); this is the first with long-term support since.
    private static readonly Version Oldest = new(5, 15);

    private readonly Lock _gate = new();
    private readonly NetlinkSocket _socket;
    private bool _isWanted;
    private bool _isThere;
    private HashSet<string> _devices = [];

    private FlowOffload(NetlinkSocket socket) => _socket = socket;

    /// <summary>Opens the calling thread's network namespace; nothing changes in the kernel yet.</summary>
    /// <exception cref="NetlinkException">No rights, or a kernel without netlink or nf_tables.</exception>
    public static FlowOffload Open() => new(NetlinkSocket.Open(NetlinkProtocol.NETLINK_NETFILTER));

    /// <summary>Why there is none, in a few words; empty when there is.</summary>
    public string Obstacle { get; private set; } = "not begun";

    /// <summary>How many devices take part.</summary>
    public int Devices => _isThere ? _devices.Count : 0;

    /// <summary>
    /// At start: removes what an earlier life left (its connections go on, the long way: some may have been forbidden meanwhile), and begins anew if that is wanted and the kernel can.
    /// </summary>
    /// <param name="isWanted"><c>flowOffload</c>.</param>
    /// <exception cref="NetlinkException">The kernel gave no answer.</exception>
    public void Begin(bool isWanted)
    {
        lock (_gate)
        {
            Delete();
            Obstacle = !isWanted ? "switched off"
                : Environment.OSVersion.Version < Oldest ? $"kernel {Environment.OSVersion.Version} is older than {Oldest}"
                : Create() is { } refusal ? $"the kernel has no flowtables (modules nf_flow_table_inet, nft_flow_offload): {refusal.Failure.Errno}"
                : "";
            _isWanted = Obstacle.Length == 0;
        }
    }

    /// <summary>Whether the kernel has the table, whoever made it.</summary>
    /// <exception cref="NetlinkException">The kernel gave no answer.</exception>
    public bool Exists()
    {
        lock (_gate)
        {
            return Find() is not null;
        }
    }

    /// <summary>Removes the table; connections go on the long way.</summary>
    /// <exception cref="NetlinkException">The kernel gave no answer.</exception>
    public void Remove() => Begin(isWanted: false);

    /// <summary>Lets these devices take part, too, and makes the table anew when somebody has removed it. A device that is removed is taken off by the kernel.</summary>
    /// <param name="devices">Pods' interfaces and tunnels; one that does not exist (yet) is left out.</param>
    /// <exception cref="NetlinkException">The kernel gave no answer.</exception>
    public void Follow(IReadOnlyCollection<string> devices)
    {
        lock (_gate)
        {
            if (!_isWanted)
                return;
            var found = Find();
            _devices = found?.Devices.ToHashSet() ?? [];
            _isThere = found is not null;
            if (!_isThere)
                Create();
            Add([.. devices.Where(device => !_devices.Contains(device))]);
        }
    }

    /// <summary>Brings every connection back to the long way; those that are still allowed find the short one again with their next packet.</summary>
    /// <exception cref="NetlinkException">The kernel gave no answer.</exception>
    public void Forget()
    {
        lock (_gate)
        {
            if (!_isWanted)
                return;
            var devices = _devices;
            Delete();
            Create();
            Add(devices);
        }
    }

    /// <summary>Closes the socket; connections go on the short way as long as the kernel lets them.</summary>
    public void Dispose() => _socket.Dispose();

    private FlowtableMessage? Find()
    {
        using var question = new NetlinkWriter();
        FlowtableMessage.WriteDump(question, _socket.NextSequence());
        return _socket.Query<FlowtableMessage>(question, FlowtableMessage.Read, "NFT_MSG_GETFLOWTABLE").Find(row => (row.Table, row.Name) == (Table, Flowtable));
    }

    // All at once; a device that is gone would fail all of them, so then one by one.
    private void Add(HashSet<string> devices)
    {
        if (!_isThere || devices.Count == 0)
            return;
        if (Send(batch => new FlowtableMessage(Table, Flowtable, devices).WriteNew(batch)) is null)
            _devices = [.. _devices, .. devices];
        else if (devices.Count > 1)
            foreach (var device in devices)
                Add([device]);
    }

    private void Delete()
    {
        if (Send(batch => TableMessage.WriteDelete(batch, Table)) is { Failure: { Errno: not Errno.ENOENT } refused })
            throw refused.ToException($"NFT_MSG_DELTABLE {Table}"); // what is forbidden must not stay on the short way unnoticed
        (_isThere, _devices) = (false, []);
    }

    private BatchFailure? Create()
    {
        var refusal = Send(batch =>
        {
            new TableMessage(NftTableFlags.None).WriteNew(batch, Table);
            new FlowtableMessage(Table, Flowtable, []).WriteNew(batch);
            new ChainMessage(Chain, ChainHook.Of(new(ChainType.Filter, Hook.Forward, 1))).WriteNew(batch, Table);
            foreach (var rule in Rules)
                rule.WriteNew(batch, null, Table);
        });
        _isThere = refusal is null;
        return refusal;
    }

    private BatchFailure? Send(Action<Batch> write)
    {
        using var batch = new Batch(_socket.NextSequence);
        write(batch);
        batch.End();
        var failures = batch.Send(_socket);
        return failures.Count == 0 ? null : failures[0];
    }

    // Between two pods, here or through a tunnel. Behind both chains that judge, so whatever comes here is allowed; what is revoked has been dropped. Only a packet of who began it: what IPVS
    // sends on is forwarded in the other direction alone, and must be, since IPVS puts the Service's address back there. Of UDP only what is not translated: kube-proxy deletes connections to
    // endpoints that are gone, and the kernel deletes none that is in a flowtable.
    private static IEnumerable<RuleMessage> Rules =>
        from way in ((string From, string To)[])[(Pods, Pods), (Tunnels, Pods), (Pods, Tunnels)]
        from protocol in (IpProtocol[])[IpProtocol.Tcp, IpProtocol.Udp]
        let matches = Lowering.Lower(new Rule(
            [
                new Match.InputInterface(way.From), new Match.OutputInterface(way.To), new Match.L4Protocol((byte)protocol),
                new Match.ConnectionState(CtState.Established), new Match.ConnectionMark(RulesetOptions.RevokedMark, 0),
            ],
            []))
        select new RuleMessage(Chain, [.. matches, .. FromOriginator, .. protocol == IpProtocol.Udp ? Untranslated : [], new FlowAdd(Flowtable)], null);

    // IP_CT_DIR_ORIGINAL (linux/netfilter/nf_conntrack_tuple_common.h).
    private static Expression[] FromOriginator => [new Ct(NftCtKeys.NFT_CT_DIRECTION, NftRegisters.NFT_REG_1), new Cmp(NftCmpOps.NFT_CMP_EQ, NftRegisters.NFT_REG_1, [0])];

    private static Expression[] Untranslated =>
    [
        new Ct(NftCtKeys.NFT_CT_STATUS, NftRegisters.NFT_REG_1),
        Bitwise.And(NftRegisters.NFT_REG_1, NftData.Of(Translated)),
        new Cmp(NftCmpOps.NFT_CMP_EQ, NftRegisters.NFT_REG_1, NftData.Of(0)),
    ];
}
