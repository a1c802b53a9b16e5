namespace Overlay.Dataplane.Cli;

/// <summary>What every verb exits with.</summary>
internal static class ExitCode
{
    /// <summary>All was done.</summary>
    public const int Success = 0;

    /// <summary>It was understood, and failed or found something wrong.</summary>
    public const int Failure = 1;

    /// <summary>The command line or the configuration is wrong; nothing was begun.</summary>
    public const int Usage = 2;
}
