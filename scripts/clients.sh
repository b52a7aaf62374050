#!/usr/bin/env bash
# Installs the client libraries that the end-to-end tests ask the server with, in fixed versions.
#
# They lie in the folder clients below cargo's target folder and nowhere else; when they are there, nothing is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

lists=(requirements.txt package.json package-lock.json)
folder=$(target_folder)/clients

is_there() {
    local list
    for list in "${lists[@]}"; do
        cmp -s "tests/e2e/clients/$list" "$folder/$list" || return 1
    done
}

is_there && exit
rm -rf "$folder"
mkdir -p "$folder"
cd tests/e2e/clients

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is older than 3.11"
python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
python3 -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore \
    --target "$folder/python" --requirement requirements.txt

node -e 'process.exit(typeof fetch == "function" ? 0 : 1)' || fail "node is older than 18"
cp package.json package-lock.json "$folder/"
npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error

# The last list says that everything is there.
cp requirements.txt "$folder/"
