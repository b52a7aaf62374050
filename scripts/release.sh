#!/usr/bin/env bash
# Makes everything that is handed out of a version: a static binary, an archive, a Debian package, and their checksums.
#
# They lie in the folder dist below cargo's target folder. Wants cargo-deb (cargo install cargo-deb --locked) beside what
# check.sh wants; says nothing about whether the version is good: check.sh does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

step() { printf '\n== %s\n' "$*"; }

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
target=$(rustc -vV | sed -n 's/^host: //p')
built=$(target_folder)/$target/release
dist=$(target_folder)/dist
name=corecast-$version-${target%%-*}-linux

cargo deb --version >/dev/null 2>&1 || fail "cargo-deb is missing: cargo install cargo-deb --locked"
grep -q "^### $version\$" README.md || fail "README.md does not say what is new in $version"

step "binary $version for $target"
# The target has to be named, or what runs at build time would be linked so too.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" --bin corecast
if readelf --program-headers "$built/corecast" | grep -q INTERP; then
    fail "$built/corecast is not static"
fi
[[ $("$built/corecast" --version) == "corecast $version" ]] || fail "the binary is of another version"
# Names of functions stay, for the trace of a fault; the numbers of lines would be three quarters of the file.
strip --strip-debug "$built/corecast"
scripts/dist/texts.sh "$built/corecast" "$built/dist"

step archive
rm -rf "$dist"
mkdir -p "$dist/$name"
cp "$built/corecast" README.md LICENSE-* src/config/example.toml "$dist/$name/"
cp -r "$built/dist" "$dist/$name/texts"
cp -r scripts/dist "$dist/$name/dist"
tar --directory "$dist" --owner=0 --group=0 --sort=name --create --gzip --file "$dist/$name.tar.gz" "$name"
rm -r "${dist:?}/$name"
cp "$built/corecast" "$dist/$name"

step package
cargo deb --no-build --no-strip --target "$target" --output "$dist/"

step checksums
(cd "$dist" && sha256sum -- * >SHA256SUMS && sha256sum --check SHA256SUMS)
