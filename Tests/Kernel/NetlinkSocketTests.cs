using Overlay.Dataplane.Netlink;
using static Overlay.Dataplane.Netlink.NlmF;

namespace Overlay.Tests.Kernel;

public class NetlinkSocketTests
{
    private const ushort RtmGetlink = 18;
    private const ushort RtmSetlink = 19;

    [Test]
    public void A_dump_of_a_fresh_namespace_has_the_loopback_device()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        using var question = new NetlinkWriter();
        WriteLink(question, RtmGetlink, NLM_F_REQUEST | NLM_F_DUMP, socket.NextSequence(), 0);
        var indexes = socket.Query<int>(question, static (message, rows) => rows.Add(BitConverter.ToInt32(message.Payload[4..])), "RTM_GETLINK");
        Assert.That(indexes, Is.EqualTo(new[] { 1 }));
    }

    [Test]
    public void A_refused_request_says_what_and_why_in_the_kernels_words()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        using var request = new NetlinkWriter();
        var message = request.BeginMessage(RtmSetlink, (ushort)(NLM_F_REQUEST | NLM_F_ACK), socket.NextSequence());
        BitConverter.TryWriteBytes(request.Reserve(16)[4..], 1);
        request.UInt16(4, 1500); // IFLA_MTU has 32 bits
        request.EndMessage(message);
        var exception = Assert.Throws<NetlinkException>(() => socket.Request(request, "RTM_SETLINK lo mtu 1500"))!;
        Assert.That(exception.Errno, Is.EqualTo(Errno.ERANGE));
        Assert.That(exception.ExtendedAck, Is.EqualTo("Attribute failed policy validation"));
        Assert.That(exception.AttributeOffset, Is.EqualTo(16 + 16), "behind nlmsghdr and ifinfomsg");
        Assert.That(exception.Message, Is.EqualTo("RTM_SETLINK lo mtu 1500: ERANGE (\"Attribute failed policy validation\") at byte 32"));
        Assert.That(exception.IsTransient, Is.False);
    }

    [Test]
    public void A_batch_names_each_message_that_failed_and_does_the_others()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        using var batch = new NetlinkWriter();
        var first = socket.NextSequence();
        var failing = new List<uint>();
        for (var i = 0u; i < 2000; i++)
        {
            var sequence = i == 0 ? first : socket.NextSequence();
            if (i % 500 == 499)
                failing.Add(sequence);
            WriteLink(batch, RtmSetlink, NLM_F_REQUEST | NLM_F_ACK, sequence, i % 500 == 499 ? 77 : 1);
        }
        var failures = socket.Batch(batch);
        Assert.That(failures.Select(failure => (failure.Sequence, failure.Errno)), Is.EqualTo(failing.Select(sequence => (sequence, Errno.ENODEV))));
    }

    [Test]
    public void Acknowledgements_that_do_not_fit_the_receive_buffer_are_reported_as_lost()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        socket.SetReceiveBuffer(4096);
        using var batch = new NetlinkWriter();
        for (var i = 0; i < 200; i++)
            WriteLink(batch, RtmSetlink, NLM_F_REQUEST | NLM_F_ACK, socket.NextSequence(), 1);
        var failures = socket.Batch(batch);
        Assert.That(failures.Select(failure => failure.Errno), Is.Not.Empty.And.All.EqualTo(Errno.ENOBUFS));

        batch.Clear();
        WriteLink(batch, RtmSetlink, NLM_F_REQUEST | NLM_F_ACK, socket.NextSequence(), 1);
        Assert.That(socket.Batch(batch), Is.Empty, "the next request must not see what is left of the last");
    }

    [Test]
    public void A_malformed_reply_is_reported_after_the_whole_answer_was_read()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        using var question = new NetlinkWriter();
        WriteLink(question, RtmGetlink, NLM_F_REQUEST | NLM_F_DUMP, socket.NextSequence(), 0);
        Assert.That(() => socket.Query<int>(question, static (_, _) => throw new NetlinkFormatException("bad"), "RTM_GETLINK"), Throws.TypeOf<NetlinkFormatException>());
        question.Clear();
        WriteLink(question, RtmGetlink, NLM_F_REQUEST | NLM_F_DUMP, socket.NextSequence(), 0);
        Assert.That(socket.Query<int>(question, static (_, rows) => rows.Add(1), "RTM_GETLINK"), Has.Count.EqualTo(1));
    }

    [Test]
    public void A_batch_that_asks_for_no_acknowledgement_is_a_mistake_of_the_caller()
    {
        using var net = NetnsFixture.Create();
        using var socket = net.Open(NetlinkProtocol.NETLINK_ROUTE);
        using var batch = new NetlinkWriter();
        WriteLink(batch, RtmSetlink, NLM_F_REQUEST, socket.NextSequence(), 1);
        Assert.That(() => socket.Batch(batch), Throws.InvalidOperationException);
    }

    // struct ifinfomsg { unsigned char ifi_family; unsigned char __ifi_pad; unsigned short ifi_type; int ifi_index; unsigned ifi_flags; unsigned ifi_change; };
    private static void WriteLink(NetlinkWriter writer, ushort type, NlmF flags, uint sequence, int index)
    {
        var message = writer.BeginMessage(type, (ushort)flags, sequence);
        BitConverter.TryWriteBytes(writer.Reserve(16)[4..], index);
        writer.EndMessage(message);
    }
}
