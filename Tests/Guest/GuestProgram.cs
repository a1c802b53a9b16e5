using System.Reflection;
using System.Text.Json;
using NUnit;
using NUnit.Framework.Api;
using NUnit.Framework.Interfaces;
using NUnit.Framework.Internal;

namespace Overlay.Tests.Guest;

/// <summary>
/// The entry point of this assembly, for the guest: runs the tests that are marked for it, in this one process, since a test host and its start would cost more than they. Writes a
/// <see cref="GuestResult"/> a line to the file that is its argument, as each ends.
/// </summary>
internal static class GuestProgram
{
    private static int Main(string[] arguments)
    {
        if (arguments is not [var file] || !Guest.IsHere)
        {
            Console.Error.WriteLine("This is for the guest of the tests only; call: dotnet test");
            return 2;
        }

        using var results = new StreamWriter(file) { AutoFlush = true };
        var runner = new NUnitTestAssemblyRunner(new DefaultTestAssemblyBuilder());
        // Only these fixtures: to find out what all the others would run takes longer there than to run these.
        var fixtures = Assembly.GetExecutingAssembly().GetTypes().Where(type => type.IsDefined(typeof(InGuestAttribute))).Select(type => type.FullName!).ToList();
        if (Environment.GetEnvironmentVariable("OVERLAY_TEST_FILTER") is { Length: > 0 } filter && fixtures.FindAll(name => name.Contains(filter, StringComparison.Ordinal) || filter.Contains(name, StringComparison.Ordinal)) is { Count: > 0 } asked)
            fixtures = asked;
        runner.Load(Assembly.GetExecutingAssembly(), new Dictionary<string, object> { [FrameworkPackageSettings.LOAD] = fixtures });
        var result = runner.Run(new ResultWriter(results), TestFilter.Empty);
        return result.FailCount == 0 ? 0 : 1;
    }

    private sealed class ResultWriter(TextWriter results) : ITestListener
    {
        public void TestStarted(ITest test)
        {
        }

        public void TestFinished(ITestResult result)
        {
            if (!result.Test.IsSuite)
                results.WriteLine(JsonSerializer.Serialize(new GuestResult(result.Test.FullName, result.ResultState.Status.ToString(), $"{result.Message}\n{result.StackTrace}\n{result.Output}".Trim())));
            Console.WriteLine($"{Environment.TickCount64 / 1000,4} s {result.ResultState} {result.FullName} ({result.Duration:0.0} s) {(result.Test.IsSuite ? result.Message : "")}");
        }

        public void TestOutput(TestOutput output)
        {
        }

        public void SendMessage(TestMessage message)
        {
        }
    }
}
