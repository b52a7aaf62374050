#!/usr/bin/env bash
# Everything that CI runs: format, lints, documentation, and every test.
#
# Wants a Debian with Rust and a C compiler. Installs the other tools that the tests use, where it may.
# Stops at the first failure; what cargo said of each test crate comes last.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

step() { printf '\n== %s\n' "$*"; }

# The tools that tests start, each with its package.
tools=(cc:gcc chromedriver:chromium-driver chromium:chromium curl:curl ffmpeg:ffmpeg ffprobe:ffmpeg haproxy:haproxy
    ip:iproute2 jq:jq nginx:nginx-light node:nodejs npm:npm openssl:openssl prometheus:prometheus promtool:prometheus
    python3:python3 shellcheck:shellcheck systemd-analyze:systemd systemd-socket-activate:systemd)

install_missing() {
    local packages=() tool
    for tool in "${tools[@]}"; do
        command -v "${tool%%:*}" >/dev/null || packages+=("${tool##*:}")
    done
    [[ ${#packages[@]} -eq 0 ]] && return
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    install_packages "${packages[@]}"
}

# Found out now rather than when the first of them fails.
try_namespace() {
    local name="corecast-check-$$"
    ip netns add "$name" 2>/dev/null || fail "the tests make network namespaces, which is refused here: run as root"
    ip netns delete "$name"
}

step tools
install_missing
command -v cargo >/dev/null || fail "cargo is missing: see https://rustup.rs"
cargo fmt --version || fail "rustfmt is missing: rustup component add rustfmt"
cargo clippy --version || fail "clippy is missing: rustup component add clippy"
scripts/clients.sh
scripts/player.sh
try_namespace

step format
cargo fmt --all --check

step lints
cargo clippy --workspace --all-targets --locked -- -D warnings

shellcheck --external-sources scripts/*.sh scripts/dist/*.sh scripts/dist/debian/* bench/*.sh .ci/run

step documentation
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

step tests
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Hundreds of viewers and a browser want the machine for themselves: others would be measured by them.
cargo test --workspace --locked -- --skip browsed:: --skip load::five_hundred --skip two_thousand 2>&1 | tee "$log"
cargo test --workspace --locked --test e2e --test proof -- load::five_hundred two_thousand 2>&1 | tee -a "$log"
cargo test --workspace --locked --test e2e -- browsed:: 2>&1 | tee -a "$log"

step baseline
(cd bench/baseline && python3 -m unittest -q test_baseline)

step benchmark
scripts/bench.sh --smoke

step results
grep -E '^ +(Running|Doc-tests) |^test result: ' "$log"
