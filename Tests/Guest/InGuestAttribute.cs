using NUnit.Framework.Interfaces;

namespace Overlay.Tests.Guest;

/// <summary>
/// The tests of this fixture run in the guest (<see cref="Guest"/>), under the same names, and what comes of them there comes of them here. The fixture's own set-up and tear-down run in both
/// and ask <see cref="Guest.Keeps"/>.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class InGuestAttribute : Attribute, ITestAction
{
    /// <inheritdoc/>
    public ActionTargets Targets => ActionTargets.Test;

    /// <inheritdoc/>
    public void BeforeTest(ITest test)
    {
        if (!Guest.IsHere)
            Guest.Conclude(test.FullName);
    }

    /// <inheritdoc/>
    public void AfterTest(ITest test)
    {
    }
}
