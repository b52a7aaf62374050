#!/usr/bin/env bash
# Fetches the player that the operator's page shows channels with, in a fixed version; the next build has it.
#
# It lies in a folder that git ignores, and nowhere else; when it is there, nothing is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../src/admin/page/player"
# shellcheck source=scripts/packages.sh
source ../../../../scripts/packages.sh

cmp -s package-lock.json node_modules/fetched && exit
command -v npm >/dev/null || install_packages npm
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
# The list of what was fetched, last of all, says that everything is there.
cp package-lock.json node_modules/fetched
