#!/usr/bin/env bash
# Judges what Cargo.lock brings in by .deny.toml: second versions, licences, places of origin.
#
# Not part of check.sh: cargo-deny takes minutes to build. Advisories need a database from the network:
#   cargo deny --config .deny.toml check advisories
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    cargo install --locked cargo-deny
fi
cargo deny --config .deny.toml check bans licenses sources
