using Overlay.CniShim;
using Overlay.CniShim.Spec;

if (args is ["--version"])
{
    Console.Out.Write(CniVersion.About);
    return 0;
}

return new Plugin(CniEnvironment.OfProcess()).Run();
