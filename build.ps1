#!/bin/sh
echo @'
' > /dev/null
# One file for two shells. Plain sh skips the two lines above and reads this half, down to `exit`; to PowerShell all of this half is one
# here-string that it throws away, and it goes on behind the line that starts with a quote. Only what must be here is here: the programs to
# install and the calls of dotnet; everything else belongs in MSBuild or in the tests.
set -eu
cd "$(dirname "$0")"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1

usage() {
    cat <<'USAGE'
usage: ./build.ps1 VERB

  build           both programs, native, at artifacts/bin/overlay and artifacts/bin/overlay-cni
  test [FILTER]   every test, or those whose full name contains FILTER (root: also those in network namespaces)
  demo [OPTION]   build, then `overlay demo`: nodes, pods and policies on this machine (root)
  bench NAME      a measurement (root); policy: what policies on one pod cost the first packet of a flow;
                  list: memory and CPU of an agent that lists 50,000 pods from an API server;
                  cni [PODS]: ADD and DEL beside Debian's ptp, 200 pods (or PODS) each at 1, 4 and 16 at a time;
                  tunnel: pod to pod beside the same kernel devices made by hand, with 0, 100 and 10,000 policies;
                  scale: what one change costs among up to 250,000 pods, from the datastore's change to the kernel's commit
  package         for x86-64 and arm64 archives to install from and the container images, with bills of materials and sums; the
                  Helm chart and the plain manifests; at artifacts/package
  clean           remove everything that was built
  help            this text
USAGE
}

say() { printf '%s\n' "$*"; }
fail() { printf 'build.ps1: %s\n' "$*" >&2; exit 1; }

# need PROBE PACKAGE: notes the Debian package unless the command, or the file (with wildcards), is there.
missing=
need() {
    case $1 in
        /*) for file in $1; do [ -e "$file" ] && return; done ;;
        *) command -v "$1" > /dev/null && return ;;
    esac
    case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}

# install WHY: gets what need noted.
install() {
    [ -n "$missing" ] || return 0
    command -v apt-get > /dev/null || fail "$1 needs these Debian packages or their like, install them first:$missing"
    [ "$(id -u)" = 0 ] || fail "$1 needs packages that are not here; run it with sudo once, or install them:$missing"
    say "Installing what $1 needs:$missing"
    # shellcheck disable=SC2086 # words on purpose
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } > /dev/null ||
        fail "apt-get could not install:$missing"
    missing=
}

# sudo resets PATH, so an SDK in the user's home is out of sight.
find_dotnet() {
    home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6) || home=
    for folder in "${DOTNET_ROOT:-}" "$home/.dotnet" /usr/share/dotnet /usr/lib/dotnet /usr/local/share/dotnet; do
        command -v dotnet > /dev/null && return
        [ -x "$folder/dotnet" ] && PATH=$folder:$PATH DOTNET_ROOT=$folder && export PATH DOTNET_ROOT
    done
    command -v dotnet > /dev/null || fail "the .NET SDK 10 is not installed; see https://dotnet.microsoft.com/download or install the package dotnet-sdk-10.0"
}

# Under sudo what was built belongs to the user who called it.
give_back() {
    [ -n "${SUDO_UID:-}" ] || return 0
    for folder in artifacts ./*/bin ./*/obj; do
        if [ -d "$folder" ]; then chown -R "$SUDO_UID:$SUDO_GID" "$folder"; fi
    done
}

build() {
    command -v clang > /dev/null || need gcc gcc
    need /usr/include/stdlib.h libc6-dev
    install 'the native build'
    find_dotnet
    trap give_back EXIT
    [ -x artifacts/bin/overlay-cni ] || say 'Building overlay and overlay-cni as native programs; the first time takes a minute or two.'
    for project in Dataplane CniShim; do
        dotnet publish $project -c Release -o artifacts/bin -v quiet
    done
}

# The programs of one runtime identifier, linked statically.
link_statically() {
    say "Linking overlay and overlay-cni for $1 statically; the first time takes some minutes."
    for project in Dataplane CniShim; do
        dotnet publish $project -c Static -r "$1" -o "artifacts/static/$1" -v quiet
    done
}

# What links for arm64 on another machine; OpenSSL's static library for it is no package of this architecture, so it is fetched by fetch_openssl.
need_for_arm64() {
    need clang clang
    need ld.lld lld
    need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    need /usr/aarch64-linux-gnu/lib/libc.a libc6-dev-arm64-cross
}

# Debian's libssl-dev for arm64, unpacked below artifacts: with lists of its own, so that apt on this machine never hears of another architecture.
fetch_openssl() {
    folder=$PWD/artifacts/cross/arm64
    [ ! -e "$folder/lib/libssl.a" ] || return 0
    command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || return 1
    rm -rf "$folder"
    mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial" "$folder/include" "$folder/lib"
    set -- -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o APT::Sandbox::User=
    { apt-get "$@" update && (cd "$folder/apt" && apt-get "$@" download libssl-dev) && dpkg-deb -x "$folder"/apt/libssl-dev_*.deb "$folder/apt/root"; } > /dev/null || return 1
    cp -R "$folder"/apt/root/usr/include/* "$folder"/apt/root/usr/include/aarch64-linux-gnu/* "$folder/include"
    cp "$folder"/apt/root/usr/lib/aarch64-linux-gnu/lib*.a "$folder/lib"
    rm -rf "$folder/apt"
}

# The image for arm64 beside this machine's own: what it lacks stops the other one not.
cross_arm64() {
    need_for_arm64
    if ! (install 'the image for arm64'); then
        missing=
        say 'No image for arm64: see above.'
        return
    fi
    missing=
    fetch_openssl || { say 'No image for arm64: apt-get does not give libssl-dev for it.'; return; }
    CFLAGS='--target=aarch64-linux-gnu -Wno-unused-value' LDFLAGS=-fuse-ld=lld OPENSSL_ROOT_DIR=$PWD/artifacts/cross/arm64 link_statically linux-arm64
}

package() {
    need gcc gcc
    need cmake cmake
    need /usr/include/stdlib.h libc6-dev
    need '/usr/lib/*/libssl.a' libssl-dev
    install 'the image'
    find_dotnet
    trap give_back EXIT
    rm -rf artifacts/static
    case $(uname -m) in
        x86_64) link_statically linux-x64; cross_arm64 ;;
        aarch64) link_statically linux-arm64 ;;
        *) fail "there is no .NET for native programs on $(uname -m); package runs on x86-64 and arm64" ;;
    esac
    dotnet run --project Packaging -- artifacts/static . artifacts/package
}

need_for_tests() {
    need gcc gcc
    need /usr/include/stdlib.h libc6-dev
    need nft nftables
    need ip iproute2
    need strace strace
    need '/usr/lib/*/libpcap.so.0.8' libpcap0.8
    need iptables-restore iptables
    need /usr/lib/cni/host-local containernetworking-plugins
    need conntrack conntrack
    need tshark tshark
    # The guest: Debian's kernel under QEMU, with what this machine's may lack.
    need qemu-system-x86_64 qemu-system-x86
    need busybox busybox-static
    need cpio cpio
    need modprobe kmod
    need ipvsadm ipvsadm
    # What reads the unit and the man pages.
    need systemd-analyze systemd
    need man man-db
    # A real API server, where there is one, needs its storage.
    if command -v kube-apiserver > /dev/null; then need etcd etcd-server; fi
    install 'the test suite (the product itself needs none of it)'
    find_dotnet
    trap give_back EXIT
}

run_bench() {
    case ${1:-} in
        policy) benchmark=PolicyBenchmark ;;
        list) benchmark=ListBenchmark ;;
        cni) benchmark=CniBenchmark ;;
        tunnel) benchmark=TunnelBenchmark ;;
        scale) benchmark=ScaleBenchmark ;;
        *) fail 'which measurement? There are: policy, list, cni, tunnel, scale' ;;
    esac
    [ "$(id -u)" = 0 ] || fail "bench $1 makes network namespaces; run it with sudo"
    need_for_tests
    OVERLAY_BENCH=1 OVERLAY_BENCH_PODS=${2:-} OVERLAY_TEST_FILTER=$benchmark dotnet test Tests -c Release --filter "FullyQualifiedName~$benchmark" --logger 'console;verbosity=normal'
}

run_tests() {
    need_for_tests
    # What users have is what is tested, and it starts faster.
    export OVERLAY_NATIVE=1 OVERLAY_TEST_FILTER="${1:-}"
    results=artifacts/test-results
    rm -rf "$results"
    [ "$(id -u)" = 0 ] || say 'Not root: tests that need network namespaces are skipped, each says so.'
    set -- --logger 'trx;LogFileName=tests.trx' --logger 'console;verbosity=normal' ${1:+--filter "FullyQualifiedName~$1"}
    status=0
    # The first test in the guest waits for all that run there.
    dotnet test Tests --results-directory "$results" --blame-hang-timeout 20m --blame-hang-dump-type none "$@" || status=$?
    count() { grep -c "<UnitTestResult .*outcome=\"${1:-}" "$results/tests.trx" 2> /dev/null || :; }
    total=$(count) passed=$(count Passed) skipped=$(count NotExecuted)
    [ "${total:-0}" != 0 ] || { total=0 passed=0 skipped=0; say 'No test ran.'; }
    failed=$((total - passed - skipped))
    # A run that broke off, or ran nothing, counts as a failure even if no test did.
    if [ "$failed" = 0 ] && { [ "$status" != 0 ] || [ "$total" = 0 ]; }; then failed=1; fi
    [ "$failed" = 0 ] || awk '/<UnitTestResult .*outcome="Failed"/ { name = $0; sub(/.* testName="/, "", name); sub(/".*/, "", name) }
        name != "" && /<Message>/ { sub(/.*<Message>/, ""); print "failed: " name ": " $0; name = "" }' "$results/tests.trx" | sed 's/&quot;/"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' | cut -c 1-300
    say "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
    [ "$failed" = 0 ]
}

verb=${1:-help}
[ $# = 0 ] || shift
case $verb in
    build) build ;;
    test) run_tests "$@" ;;
    demo) build; artifacts/bin/overlay demo "$@" ;;
    bench) run_bench "$@" ;;
    package) package ;;
    clean) rm -rf artifacts ./*/bin ./*/obj ;;
    help | -h | --help) usage ;;
    *) printf 'build.ps1: unknown verb "%s"\n\n' "$verb" >&2; usage >&2; exit 2 ;;
esac
exit
: <<'# end of the PowerShell half'
'@ > $null

# Where there is sh, that half does it: one way to install packages and to count tests. So this half is for Windows.
if ($PSVersionTable.Platform -eq 'Unix') { & sh $PSCommandPath @args; exit $LASTEXITCODE }

$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot
$env:DOTNET_NOLOGO = 1; $env:DOTNET_CLI_TELEMETRY_OPTOUT = 1; $env:MSBUILDDISABLENODEREUSE = 1

function Show-Usage {
    'usage: ./build.ps1 build | test [FILTER] | clean | help      (demo, bench and package: on Linux)'
}

function Invoke-Dotnet { & dotnet @args; if ($LASTEXITCODE) { exit $LASTEXITCODE } }

function Invoke-Build {
    foreach ($project in 'Dataplane', 'CniShim') { Invoke-Dotnet publish $project -c Release -o artifacts/bin -v quiet }
}

function Invoke-Test($filter) {
    $results = 'artifacts/test-results'
    if (Test-Path $results) { Remove-Item -Recurse $results }
    $select = @(if ($filter) { '--filter', "FullyQualifiedName~$filter" })
    & dotnet test Tests --results-directory $results --blame-hang-timeout 20m --blame-hang-dump-type none --logger 'trx;LogFileName=tests.trx' --logger 'console;verbosity=normal' @select
    $status = $LASTEXITCODE
    $passed = 0; $failed = 1; $skipped = 0
    if (Test-Path "$results/tests.trx") {
        $outcomes = @(([xml](Get-Content -Raw "$results/tests.trx")).TestRun.Results.UnitTestResult.outcome)
        $passed = @($outcomes -eq 'Passed').Count
        $skipped = @($outcomes -eq 'NotExecuted').Count
        $failed = [Math]::Max($outcomes.Count - $passed - $skipped, [int]($status -ne 0 -or $outcomes.Count -eq 0))
    }
    "$passed passed, $failed failed" + $(if ($skipped) { ", $skipped skipped" })
    exit [int]($failed -ne 0)
}

$verb, $rest = @($args) + @($null)
switch ($verb) {
    'build' { Invoke-Build }
    'test' { Invoke-Test @($rest)[0] }
    'clean' { Get-ChildItem -Directory artifacts, */bin, */obj -ErrorAction SilentlyContinue | Remove-Item -Recurse -Force }
    { $_ -in $null, 'help', '-h', '--help' } { Show-Usage }
    { $_ -in 'demo', 'bench', 'package' } { [Console]::Error.WriteLine("build.ps1: $verb runs on Linux only"); exit 1 }
    default { [Console]::Error.WriteLine("build.ps1: unknown verb ""$verb"""); Show-Usage; exit 2 }
}
# end of the PowerShell half
