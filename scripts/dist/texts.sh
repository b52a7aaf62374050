#!/usr/bin/env bash
# texts.sh BINARY FOLDER: writes the manual page and the completions that a corecast prints into a folder.
set -euo pipefail
binary=$1 folder=$2
mkdir -p "$folder"
"$binary" man >"$folder/corecast.1"
"$binary" completions bash >"$folder/corecast.bash"
"$binary" completions fish >"$folder/corecast.fish"
"$binary" completions zsh >"$folder/_corecast"
