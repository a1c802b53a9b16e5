using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Overlay.Tests")]
