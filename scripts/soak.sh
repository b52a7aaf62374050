#!/usr/bin/env bash
# Runs the long forms of the end-to-end tests, one at a time, with what they say.
#
# Usage: scripts/soak.sh [ROW]
# Without ROW all of them, else those whose name contains it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

row=()
[[ $# -eq 0 ]] || row=("$1")

# A name that nothing has would pass without a test.
tests=$(cargo test --locked --test e2e -- --list "${row[@]}")
count=$(grep -c ': test$' <<<"$tests" || true)
if [[ $count -eq 0 ]]; then
    printf 'soak.sh: no end-to-end test is called %s\n' "${row[*]}" >&2
    exit 1
fi
printf '== %s tests\n' "$count"
CORECAST_SOAK=1 exec cargo test --locked --test e2e -- "${row[@]}" --nocapture --test-threads=1
