#!/usr/bin/env bash
# Watches a running corecast with N curls at once and says what each of them received, and what corecast counted.
#
# Usage: scripts/load.sh [N] [URL]
# N is 10, URL the built-in test channel, if not given. Variables: LOAD_SECONDS, how long (10);
# LOAD_METRICS, the operator's metrics (port 8001 of the URL's host), "" for none; LOAD_TOKEN, its token, if it wants one.
# Ends with 1 if a curl did not connect or received nothing.
set -euo pipefail
shopt -s extglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

viewers=${1:-10}
url=${2:-http://localhost:8000/live/admin/admin/123.ts}
seconds=${LOAD_SECONDS:-10}
host=${url#*://}
host=${host%%/*}
[[ $host != *:+([0-9]) ]] || host=${host%:*}
metrics=${LOAD_METRICS-http://$host:8001/metrics}
[[ $viewers =~ ^[1-9][0-9]{0,4}$ ]] || fail "$viewers is no number of viewers: 1 to 99999 is allowed"
[[ $seconds =~ ^[1-9][0-9]{0,3}$ ]] || fail "LOAD_SECONDS is $seconds: 1 to 9999 is allowed"
command -v curl >/dev/null || fail "curl is missing: apt-get install curl"

pids=()
work=$(mktemp -d)
finish() {
    trap '' INT TERM
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The sum of a counter over all its labels.
counter() {
    awk -v name="$1" '$1 == name || index($1, name "{") == 1 { sum += $NF } END { printf "%.0f", sum }' "$2"
}

scrape() {
    [[ -n $metrics ]] || return 0
    local token=()
    [[ -z ${LOAD_TOKEN:-} ]] || token=(-H "Authorization: Bearer $LOAD_TOKEN")
    curl -sS --fail --max-time 5 "${token[@]}" -o "$work/$1" "$metrics" ||
        fail "no metrics at $metrics: set LOAD_METRICS to where they are, or to \"\" for none"
}

scrape before
for ((viewer = 1; viewer <= viewers; viewer++)); do
    curl -s -o /dev/null --max-time "$seconds" -w '%{http_code} %{size_download} %{time_starttransfer}\n' "$url" \
        >"$work/viewer.$viewer" &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid" || true
done
pids=()

for ((viewer = 1; viewer <= viewers; viewer++)); do
    cat "$work/viewer.$viewer"
done >"$work/all"
awk '{ printf "viewer %-4d status %s  %8.2f MB  first byte after %.0f ms\n", NR, $1, $2 / 1e6, $3 * 1e3 }' "$work/all"

# spread FIELD FACTOR: least, median and most of those that connected.
spread() {
    awk -v field="$1" -v factor="$2" '$1 == 200 { print $field * factor }' "$work/all" | sort -n |
        awk '{ all[NR] = $1 } END { printf "%.2f / %.2f / %.2f", all[1], all[int((NR + 1) / 2)], all[NR] }'
}

connected=$(grep -c '^200 ' "$work/all" || true)
received=$(awk '$1 == 200 && $2 > 0' "$work/all" | wc -l)
printf '%d of %d connected, %d received media within %d s\n' "$connected" "$viewers" "$received" "$seconds"
((connected == viewers)) || awk '$1 != 200 { print "status " $1 }' "$work/all" | sort | uniq -c
if ((connected > 0)); then
    printf 'MB received, least / median / most: %s\n' "$(spread 2 1e-6)"
    printf 'first byte after ms, least / median / most: %s\n' "$(spread 3 1e3)"
fi
if [[ -n $metrics ]]; then
    scrape after
    difference() { echo $(($(counter "corecast_$1_total" "$work/after") - $(counter "corecast_$1_total" "$work/before"))); }
    sent=$(difference viewer_sent_bytes)
    calls=$(difference send_calls)
    printf 'chunks %d, sent %d MB in %d send calls (%s per MB), skips %d, skipped %d bytes\n' \
        "$(difference chunks)" $((sent / 1000000)) "$calls" \
        "$(awk -v calls="$calls" -v sent="$sent" 'BEGIN { if (sent > 0) printf "%.1f", calls / (sent / 1e6); else printf "-" }')" \
        "$(difference viewer_skips)" "$(difference viewer_skipped_bytes)"
fi
((received == viewers))
