using System.Text;
using Overlay.Dataplane.Desired;

namespace Overlay.Dataplane.Installation;

/// <summary>The configuration file that a fresh installation has: every key with its meaning, all of them comments, so that the defaults hold until somebody says otherwise.</summary>
internal static class SampleConfiguration
{
    /// <summary>The text of the file.</summary>
    public static string Text
    {
        get
        {
            var text = new StringBuilder("# Configuration of `overlay agent`. Take the # away before what is to be another value; a key that stays a comment has its default.\n# `overlay doctor` says whether this node can run with it.\n");
            foreach (var key in ConfigurationKey.All)
                text.Append($"\n# {key.Description} Accepted: {key.Accepted}.{(key.IsLive ? " A running agent follows a change." : "")}\n#{key.Name}: {(key.Name == "nodeName" ? "" : key.Default)}".TrimEnd()).Append('\n');
            return text.ToString();
        }
    }
}
