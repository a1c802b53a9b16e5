using Overlay.Tests.Kubernetes;

namespace Overlay.Tests;

/// <summary>What is to be stopped when every test is done.</summary>
[SetUpFixture]
public sealed class TestRun
{
    [OneTimeTearDown]
    public static Task End() => ControlPlane.StopSharedAsync();
}
