using System.Text;
using Overlay.CniShim;
using Overlay.CniShim.Spec;

var environment = CniEnvironment.OfProcess();
if (args is ["--version"])
{
    environment.Stdout.Write(Encoding.UTF8.GetBytes(CniVersion.About));
    return 0;
}

return new Plugin(environment).Run();
