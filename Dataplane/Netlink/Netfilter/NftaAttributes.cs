// linux/netfilter/nf_tables.h. Attribute types are constants rather than members of an enum, so that with "using static" a message reads as in the kernel.
namespace Overlay.Dataplane.Netlink.Netfilter;

/// <summary>NFTA_GEN_*: attributes of the generation (<c>enum nft_gen_attributes</c>).</summary>
public static class NftaGen
{
    public const ushort NFTA_GEN_ID = 1;
    public const ushort NFTA_GEN_PROC_PID = 2;
    public const ushort NFTA_GEN_PROC_NAME = 3;
}

/// <summary>NFTA_TABLE_*: attributes of a table (<c>enum nft_table_attributes</c>).</summary>
public static class NftaTable
{
    public const ushort NFTA_TABLE_NAME = 1;
    public const ushort NFTA_TABLE_FLAGS = 2;
    public const ushort NFTA_TABLE_USE = 3;
    public const ushort NFTA_TABLE_HANDLE = 4;
    public const ushort NFTA_TABLE_USERDATA = 6;
    public const ushort NFTA_TABLE_OWNER = 7;
}

/// <summary>NFT_TABLE_F_* (<c>enum nft_table_flags</c>).</summary>
[Flags]
public enum NftTableFlags : uint
{
    None = 0,
    NFT_TABLE_F_DORMANT = 0x1,
    NFT_TABLE_F_OWNER = 0x2,
}

/// <summary>NFTA_CHAIN_*: attributes of a chain (<c>enum nft_chain_attributes</c>).</summary>
public static class NftaChain
{
    public const ushort NFTA_CHAIN_TABLE = 1;
    public const ushort NFTA_CHAIN_HANDLE = 2;
    public const ushort NFTA_CHAIN_NAME = 3;
    public const ushort NFTA_CHAIN_HOOK = 4;
    public const ushort NFTA_CHAIN_POLICY = 5;
    public const ushort NFTA_CHAIN_USE = 6;
    public const ushort NFTA_CHAIN_TYPE = 7;
    public const ushort NFTA_CHAIN_COUNTERS = 8;
    public const ushort NFTA_CHAIN_FLAGS = 10;
    public const ushort NFTA_CHAIN_ID = 11;
    public const ushort NFTA_CHAIN_USERDATA = 12;
}

/// <summary>NFTA_HOOK_*: where a base chain is attached (<c>enum nft_hook_attributes</c>).</summary>
public static class NftaHook
{
    public const ushort NFTA_HOOK_HOOKNUM = 1;
    public const ushort NFTA_HOOK_PRIORITY = 2;
    public const ushort NFTA_HOOK_DEV = 3;
    public const ushort NFTA_HOOK_DEVS = 4;
}

/// <summary>NFTA_RULE_*: attributes of a rule (<c>enum nft_rule_attributes</c>).</summary>
public static class NftaRule
{
    public const ushort NFTA_RULE_TABLE = 1;
    public const ushort NFTA_RULE_CHAIN = 2;
    public const ushort NFTA_RULE_HANDLE = 3;
    public const ushort NFTA_RULE_EXPRESSIONS = 4;
    public const ushort NFTA_RULE_COMPAT = 5;
    public const ushort NFTA_RULE_POSITION = 6;
    public const ushort NFTA_RULE_USERDATA = 7;
    public const ushort NFTA_RULE_ID = 9;
    public const ushort NFTA_RULE_POSITION_ID = 10;
    public const ushort NFTA_RULE_CHAIN_ID = 11;
}

/// <summary>NFTA_LIST_*: an element of any list (<c>enum nft_list_attributes</c>).</summary>
public static class NftaList
{
    public const ushort NFTA_LIST_ELEM = 1;
}

/// <summary>NFTA_EXPR_*: attributes of an expression (<c>enum nft_expr_attributes</c>).</summary>
public static class NftaExpr
{
    public const ushort NFTA_EXPR_NAME = 1;
    public const ushort NFTA_EXPR_DATA = 2;
}

/// <summary>NFTA_DATA_*: a value or a verdict (<c>enum nft_data_attributes</c>).</summary>
public static class NftaData
{
    public const ushort NFTA_DATA_VALUE = 1;
    public const ushort NFTA_DATA_VERDICT = 2;
}

/// <summary>NFTA_VERDICT_*: attributes of a verdict (<c>enum nft_verdict_attributes</c>).</summary>
public static class NftaVerdict
{
    public const ushort NFTA_VERDICT_CODE = 1;
    public const ushort NFTA_VERDICT_CHAIN = 2;
    public const ushort NFTA_VERDICT_CHAIN_ID = 3;
}

