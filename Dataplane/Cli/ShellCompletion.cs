namespace Overlay.Dataplane.Cli;

/// <summary>
/// Scripts by which a shell completes command lines of <c>overlay</c>. They ask the program itself (System.CommandLine's directive <c>[suggest:POSITION]</c>), which starts in milliseconds: so completion is always that
/// of the program that is installed. Where it knows nothing, the shell offers files.
/// </summary>
internal static class ShellCompletion
{
    /// <summary>The shells, with the path of the script below PREFIX/share.</summary>
    public static IReadOnlyDictionary<string, string> Paths { get; } = new Dictionary<string, string>
    {
        ["bash"] = "bash-completion/completions/overlay",
        ["zsh"] = "zsh/site-functions/_overlay",
        ["fish"] = "fish/vendor_completions.d/overlay.fish",
    };

    private const string Bash = """
        # Completion of overlay for bash; source it, or put it into share/bash-completion/completions/overlay.
        _overlay()
        {
            local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]}
            mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" "[suggest:${#line}]" "$line" 2> /dev/null)" -- "$word")
        }
        complete -o default -F _overlay overlay

        """;

    private const string Zsh = """
        #compdef overlay
        # Completion of overlay for zsh; put it into a folder of $fpath as _overlay.
        _overlay()
        {
            local line="${(j: :)words[1,CURRENT]}"
            local -a candidates
            candidates=(${(f)"$("${words[1]}" "[suggest:${#line}]" "$line" 2> /dev/null)"})
            compadd -a candidates || _files
        }
        if [ "$funcstack[1]" = _overlay ]; then _overlay "$@"; else compdef _overlay overlay; fi

        """;

    private const string Fish = """
        # Completion of overlay for fish; put it into share/fish/vendor_completions.d/overlay.fish.
        function __overlay_complete
            set -l line (commandline -cp)
            overlay "[suggest:"(string length -- "$line")"]" "$line" 2> /dev/null
        end
        complete -c overlay -a '(__overlay_complete)'

        """;

    /// <summary>The script of a shell, one of <see cref="Paths"/>.</summary>
    public static string Of(string shell) => (shell switch
    {
        "bash" => Bash,
        "zsh" => Zsh,
        "fish" => Fish,
        _ => throw new ArgumentOutOfRangeException(nameof(shell), shell, "no script for it"),
    }).ReplaceLineEndings("\n");
}
