namespace Overlay.CniShim.Protocol;

/// <summary>Error codes of the CNI specification (section "Error"), and the ones libcni adds. Code 3 (unknown container) is left out on purpose:
/// after it a runtime need not call DEL.</summary>
internal static class CniErrorCode
{
    /// <summary>The configuration's cniVersion is not supported, or does not have the verb.</summary>
    public const int IncompatibleVersion = 1;

    /// <summary>A field of the configuration has a value that is not supported; the message names both.</summary>
    public const int UnsupportedField = 2;

    /// <summary>A CNI_* variable is missing or wrong; the message names it.</summary>
    public const int InvalidEnvironment = 4;

    /// <summary>Input or output failed.</summary>
    public const int Io = 5;

    /// <summary>What was sent cannot be decoded.</summary>
    public const int Decoding = 6;

    /// <summary>The configuration is not valid.</summary>
    public const int InvalidConfiguration = 7;

    /// <summary>CNI_NETNS is not usable (libcni's own number).</summary>
    public const int InvalidNetns = 8;

    /// <summary>A passing state: the runtime should try again later.</summary>
    public const int TryAgainLater = 11;

    /// <summary>STATUS: ADD cannot be served now.</summary>
    public const int NotAvailable = 50;

    /// <summary>STATUS: ADD cannot be served now, and existing pods may have limited connectivity.</summary>
    public const int LimitedConnectivity = 51;

    /// <summary>Ours: no free address in a range.</summary>
    public const int RangeFull = 100;

    /// <summary>Ours: CHECK found damage.</summary>
    public const int CheckFailed = 101;

    /// <summary>Anything else (libcni's own number).</summary>
    public const int Internal = 999;
}
