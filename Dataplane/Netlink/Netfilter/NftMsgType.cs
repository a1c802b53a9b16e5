namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFT_MSG_*: message types of nf_tables (linux/netfilter/nf_tables.h) (<c>enum nf_tables_msg_types</c>).</summary>
public enum NftMsgType : byte
{
    NFT_MSG_NEWTABLE = 0,
    NFT_MSG_GETTABLE = 1,
    NFT_MSG_DELTABLE = 2,
    NFT_MSG_NEWCHAIN = 3,
    NFT_MSG_GETCHAIN = 4,
    NFT_MSG_DELCHAIN = 5,
    NFT_MSG_NEWRULE = 6,
    NFT_MSG_GETRULE = 7,
    NFT_MSG_DELRULE = 8,
    NFT_MSG_NEWSET = 9,
    NFT_MSG_GETSET = 10,
    NFT_MSG_DELSET = 11,
    NFT_MSG_NEWSETELEM = 12,
    NFT_MSG_GETSETELEM = 13,
    NFT_MSG_DELSETELEM = 14,
    NFT_MSG_NEWGEN = 15,
    NFT_MSG_GETGEN = 16,
    NFT_MSG_TRACE = 17,
    NFT_MSG_NEWOBJ = 18,
    NFT_MSG_GETOBJ = 19,
    NFT_MSG_DELOBJ = 20,
    NFT_MSG_GETOBJ_RESET = 21,
    NFT_MSG_NEWFLOWTABLE = 22,
    NFT_MSG_GETFLOWTABLE = 23,
    NFT_MSG_DELFLOWTABLE = 24,
}

