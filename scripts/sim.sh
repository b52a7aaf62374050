#!/usr/bin/env bash
# Runs the simulation of the pure core on many seeds, spread over all CPUs.
#
# Usage: [SEED=FIRST] scripts/sim.sh [SEEDS]
# Runs SEEDS seeds (a million) from FIRST (1) on. Names the seed of each failure and fails if there was one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seeds=${1:-1000000}
first=${SEED:-1}
for number in "$seeds" "$first"; do
    if [[ ! $number =~ ^[1-9][0-9]*$ ]]; then
        printf 'sim.sh: %s is no number of seeds\n' "$number" >&2
        exit 1
    fi
done

cargo test --locked --test sim --no-run
shards=$(nproc)
share=$(((seeds + shards - 1) / shards))
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

running=()
for ((from = first; from < first + seeds; from += share)); do
    left=$((first + seeds - from))
    SEED=$from SEEDS=$((left < share ? left : share)) cargo test --quiet --locked --test sim -- \
        viewers_receive_what_is_due >"$logs/$from" 2>&1 &
    running+=("$!:$from")
done
failed=0
for shard in "${running[@]}"; do
    wait "${shard%%:*}" || { failed=1 && grep -E '^seed [0-9]+|panicked at|SEED=' "$logs/${shard#*:}" >&2; }
done
[[ $failed -eq 0 ]] || exit 1
grep -q '1 passed' "$logs/$first" || { printf 'sim.sh: no test ran\n' >&2 && exit 1; }
printf '== %s seeds from %s on passed in %s s\n' "$seeds" "$first" "$SECONDS"
