#!/usr/bin/env bash
# Counts the instructions of what runs per chunk and per request, and says what changed since the saved baseline.
#
# Usage: scripts/micro.sh [save|compare] [BENCH]
# `save` keeps the counts as the baseline. `compare` (the default) shows each beside the baseline and fails where
# instructions grew by more than 2 %; without a baseline it saves one. BENCH is chunker, request or ring, else all run.
# Baselines lie in the target folder under gungraun/ and hold for the machine's CPU, compiler and lock file.
# Wants a Debian with Rust and a C compiler. Installs valgrind and gungraun-runner if they are missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

mode=${1:-compare}
case $mode in
    save) options=(--save-baseline) ;;
    compare) options=(--baseline --callgrind-limits='ir=2%') ;;
    *) fail "$mode is neither save nor compare" ;;
esac
benches=(--benches)
[[ $# -lt 2 ]] || benches=(--bench "$2")

target=$(target_folder)

# The runner speaks to exactly its own version of the library.
install_runner() {
    local wanted
    wanted=$(cargo metadata --manifest-path bench/micro/Cargo.toml --format-version 1 |
        grep -o '"name":"gungraun","version":"[^"]*"' | head -n 1 | cut -d '"' -f 8)
    [[ -n $wanted ]] || fail "bench/micro does not depend on gungraun"
    export GUNGRAUN_RUNNER=$target/tools/bin/gungraun-runner
    [[ $("$GUNGRAUN_RUNNER" --version 2>/dev/null || true) == *" $wanted" ]] && return
    cargo install gungraun-runner --version "$wanted" --locked --root "$target/tools" --target-dir "$target/tools/build"
}

command -v valgrind >/dev/null || install_packages valgrind libc6-dbg
install_runner
export GUNGRAUN_HOME=$target/gungraun
exec cargo bench --manifest-path bench/micro/Cargo.toml "${benches[@]}" -- "${options[@]}"
