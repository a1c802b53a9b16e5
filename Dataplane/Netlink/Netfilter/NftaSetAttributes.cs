// linux/netfilter/nf_tables.h
namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFTA_SET_*: attributes of a set or map (<c>enum nft_set_attributes</c>).</summary>
public static class NftaSet
{
    public const ushort NFTA_SET_TABLE = 1;
    public const ushort NFTA_SET_NAME = 2;
    public const ushort NFTA_SET_FLAGS = 3;
    public const ushort NFTA_SET_KEY_TYPE = 4;
    public const ushort NFTA_SET_KEY_LEN = 5;
    public const ushort NFTA_SET_DATA_TYPE = 6;
    public const ushort NFTA_SET_DATA_LEN = 7;
    public const ushort NFTA_SET_POLICY = 8;
    public const ushort NFTA_SET_DESC = 9;
    public const ushort NFTA_SET_ID = 10;
    public const ushort NFTA_SET_TIMEOUT = 11;
    public const ushort NFTA_SET_GC_INTERVAL = 12;
    public const ushort NFTA_SET_USERDATA = 13;
    public const ushort NFTA_SET_OBJ_TYPE = 15;
    public const ushort NFTA_SET_HANDLE = 16;
    public const ushort NFTA_SET_EXPR = 17;
    public const ushort NFTA_SET_EXPRESSIONS = 18;
}

/// <summary>NFTA_SET_DESC_*: hints about what a set will hold (<c>enum nft_set_desc_attributes</c>).</summary>
public static class NftaSetDesc
{
    public const ushort NFTA_SET_DESC_SIZE = 1;
    public const ushort NFTA_SET_DESC_CONCAT = 2;
}

/// <summary>NFTA_SET_FIELD_*: one part of a concatenated key (<c>enum nft_set_field_attributes</c>).</summary>
public static class NftaSetField
{
    public const ushort NFTA_SET_FIELD_LEN = 1;
}

/// <summary>NFTA_SET_ELEM_LIST_*: elements and the set they are in (<c>enum nft_set_elem_list_attributes</c>).</summary>
public static class NftaSetElemList
{
    public const ushort NFTA_SET_ELEM_LIST_TABLE = 1;
    public const ushort NFTA_SET_ELEM_LIST_SET = 2;
    public const ushort NFTA_SET_ELEM_LIST_ELEMENTS = 3;
    public const ushort NFTA_SET_ELEM_LIST_SET_ID = 4;
}

/// <summary>NFTA_SET_ELEM_*: attributes of an element (<c>enum nft_set_elem_attributes</c>).</summary>
public static class NftaSetElem
{
    public const ushort NFTA_SET_ELEM_KEY = 1;
    public const ushort NFTA_SET_ELEM_DATA = 2;
    public const ushort NFTA_SET_ELEM_FLAGS = 3;
    public const ushort NFTA_SET_ELEM_TIMEOUT = 4;
    public const ushort NFTA_SET_ELEM_EXPIRATION = 5;
    public const ushort NFTA_SET_ELEM_USERDATA = 6;
    public const ushort NFTA_SET_ELEM_EXPR = 7;
    public const ushort NFTA_SET_ELEM_OBJREF = 9;
    public const ushort NFTA_SET_ELEM_KEY_END = 10;
    public const ushort NFTA_SET_ELEM_EXPRESSIONS = 11;
}

/// <summary>NFT_SET_* (<c>enum nft_set_flags</c>).</summary>
[Flags]
public enum NftSetFlags : uint
{
    None = 0,
    NFT_SET_ANONYMOUS = 0x1,
    NFT_SET_CONSTANT = 0x2,
    NFT_SET_INTERVAL = 0x4,
    NFT_SET_MAP = 0x8,
    NFT_SET_TIMEOUT = 0x10,
    NFT_SET_EVAL = 0x20,
    NFT_SET_OBJECT = 0x40,
    NFT_SET_CONCAT = 0x80,
    NFT_SET_EXPR = 0x100,
}

/// <summary>NFT_SET_ELEM_* (<c>enum nft_set_elem_flags</c>).</summary>
[Flags]
public enum NftSetElemFlags : uint
{
    None = 0,
    NFT_SET_ELEM_INTERVAL_END = 0x1,
    NFT_SET_ELEM_CATCHALL = 0x2,
}

