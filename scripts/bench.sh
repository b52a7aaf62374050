#!/usr/bin/env bash
# Runs the benchmark: corecast, the reference and other relays in turn under the same loads, and reports.
#
# Usage: scripts/bench.sh [--quick | --smoke] [--rivals] [--rounds N] [--window-ms N] [LOAD...]
# Without LOAD the whole set, see below. --quick: the loads that matter most, in less than eight minutes after the build.
# --smoke: every load with a tenth of the viewers for a moment, unoptimised; its figures mean nothing.
# --rivals: installs icecast2, nginx and vlc first; those that are installed are measured anyway.
#
# The report lies in the target folder under bench/ (of --smoke under bench/smoke/): report.html, report.md, rows.jsonl
# (medians), runs.jsonl (every run). Ends with 1 if corecast or the reference lost anything. Wants python3 and curl;
# traffic stays on the loopback.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh
# shellcheck source=bench/servers.sh
source bench/servers.sh

# The set. Sources write every 5 ms, as a live one does; those of B and G, which are faster, in larger pieces more often.
whole_set() {
    local paced="--kbit-per-s 8000 --piece-bytes 5076"
    local steady="--ramp-per-s 1000 --settle-ms $settle_ms --window-ms $window_ms"
    local joining="--ramp-per-s 100 --settle-ms 2000 --window-ms 400"
    # So long that whoever reads too slowly has used up all patience there is.
    local patient="--ramp-per-s 1000 --settle-ms $patience_ms --window-ms $window_ms"
    local baseline="before after" rivals="nginx icecast2"
    # nginx that takes all there is by one read, instead of 4 KiB.
    local whole_reads=nginx@proxy_buffers=4=32k,proxy_busy_buffers_size=32k,proxy_buffer_size=32k
    local chunks=corecast@stream.chunk_age_ms=200,stream.chunk_bytes_max= viewers
    load A100 "1 channel x 8 Mbit/s, 100 viewers" \
        "corecast reference $baseline $rivals $whole_reads vlc" "$paced" "-n 100 $steady"
    load A500 "1 channel x 8 Mbit/s, 500 viewers" \
        "corecast reference after $rivals" "$paced" "-n 500 $steady"
    load A1000 "1 channel x 8 Mbit/s, 1000 viewers" "corecast reference icecast2" "$paced" "-n 1000 $steady"
    load A2000 "1 channel x 8 Mbit/s, 2000 viewers" "corecast reference" "$paced" "-n 2000 $steady"
    load B "1 channel x 400 Mbit/s, 50 viewers" \
        "corecast reference" "--kbit-per-s 400000 --piece-bytes 130848" "-n 50 $steady"
    load C "50 channels x 8 Mbit/s, 10 viewers each" \
        "corecast reference $rivals" "$paced --channels 50" "-n 500 --channels 1..50 $steady"
    load D "1 channel x 8 Mbit/s, 100 viewers beside 10 stalled and 10 slow ones; A100 is without" \
        "corecast reference $baseline $rivals" "$paced" "-n 100 --stalled 10 --slow 10 $patient"
    load E-cold "joins: 20 channels x 8 Mbit/s, their first viewers" \
        "corecast nginx" "$paced --channels 20" "-n 20 --channels 1..20 $joining"
    load E-warm "joins: 1 channel x 8 Mbit/s that is watched already, 100 viewers" \
        "corecast reference $rivals" "$paced" "-n 100 $joining" warm
    for viewers in 0 1000 2000; do
        load "F$viewers" "memory: 1 channel x 8 Mbit/s that has been watched by one viewer for long, viewers beside it: $viewers" \
            "corecast reference" "$paced" "-n $viewers $steady" patient
    done
    load G "1 channel x 40 Mbit/s, 100 viewers, chunks of 8, 32 and 128 KiB" \
        "${chunks}8084 ${chunks}32712 ${chunks}131036" \
        "--kbit-per-s 40000 --piece-bytes 7520" "-n 100 $steady"
    for viewers in 1 10; do
        load "H$viewers" "delay: 1 channel x 8 Mbit/s, viewers: $viewers; A100 has 100" \
            "corecast reference $baseline" "$paced" "-n $viewers $steady" unscaled
    done
    load I "shards: 1 channel x 8 Mbit/s, 1000 viewers" \
        "corecast@server.shards=1 corecast" "$paced" "-n 1000 $steady"
    load J "nobody watching: 10 channels" \
        "corecast nginx" "$paced --channels 10" "-n 0 --settle-ms $settle_ms --window-ms $idle_ms"
}

rounds=3 settle_ms=1000 window_ms=10000 idle_ms=20000 patience_ms=11000 scale=1 profile=release is_quick=false rivals=false
only=()
while (($# > 0)); do
    case $1 in
        --quick) window_ms=4000 patience_ms=9000 is_quick=true ;;
        --smoke) rounds=1 settle_ms=2000 window_ms=400 idle_ms=400 patience_ms=2000 scale=10 profile=dev ;;
        --rivals) rivals=true ;;
        --rounds) rounds=${2:?--rounds wants a number} && shift ;;
        --window-ms) window_ms=${2:?--window-ms wants a number} && shift ;;
        -*) fail "unknown option $1" ;;
        *) only+=("$1") ;;
    esac
    shift
done

[[ $is_quick == false ]] || ((${#only[@]} > 0)) || only=(A100 A500 B D E-cold E-warm)

install_rivals() {
    local new=() name
    for name in icecast2 nginx; do
        command -v "$name" >/dev/null || new+=("$name")
    done
    install_packages icecast2 nginx-light vlc-bin vlc-plugin-base
    # Services that came with them and were started at once would be measured too.
    if ((${#new[@]} > 0)) && command -v systemctl >/dev/null; then
        as_root systemctl disable --now "${new[@]}" || true
    fi
}

# nginx lies there, where users do not look.
PATH+=:/usr/sbin:/sbin
for tool in python3 curl git; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install $tool"
done
[[ $rivals == false ]] || install_rivals
cargo build --workspace --bins --locked --profile "$profile"
programs=$(target_folder)/$([[ $profile == dev ]] && echo debug || echo release)
report=$(target_folder)/bench$([[ $profile == release ]] || echo /smoke)
commit=$(git rev-parse --short=12 HEAD)
[[ -z $(git status --porcelain) ]] || commit+=-changed

finish() {
    trap '' INT TERM
    stop_server
    stop_keeper
    [[ -z $source_pid ]] || end_process "$source_pid"
    rm -rf "$work"
}

# load NAME ABOUT SERVERS SOURCE VIEWERS [warm | patient | unscaled]: runs it in this round, if it is asked for.
load() {
    if ((round == 0)); then
        known+=("$1")
        return
    fi
    ((${#only[@]} == 0)) || [[ " ${only[*]} " == *" $1 "* ]] || return 0
    local server servers source viewers
    read -ra servers <<<"$3"
    read -ra source <<<"$4"
    read -ra viewers <<<"$5"
    [[ ${6:-} == unscaled ]] || viewers=(-n $((viewers[1] / scale)) "${viewers[@]:2}")
    for server in "${servers[@]}"; do
        ! skips "$1" "$server" || continue
        printf '%-7s %-9s %s\n' "round $round" "$1" "$(shown "$server")"
        one_run "$1" "$2; source $4" "$server" "${6:-}"
    done
}

check_names() {
    local name
    for name in "${only[@]}"; do
        [[ " ${known[*]} " == *" $name "* ]] || fail "no load is called $name: there are ${known[*]}"
    done
}

# A server in the report: its name, and the last key that is set for it.
shown() {
    local key=${1#*@}
    if [[ $key == "$1" ]]; then
        printf '%s' "$1"
    else
        key=${key##*,}
        printf '%s %s' "${1%%@*}" "${key#*.}"
    fi
}

# Whether a server is left out: not installed, or too slow a load for the time that --quick has.
skips() {
    if ! has_server "$2"; then
        unmeasured+=("${2%%@*}, which is not installed")
        return 0
    fi
    [[ $is_quick == true ]] || return 1
    case $1:$2 in
        A100:vlc | A100:nginx@* | A500:after | A500:nginx | A500:icecast2 | D:nginx | D:icecast2 | E-warm:nginx | \
            A100:icecast2 | E-warm:icecast2)
            unmeasured+=("$1 with $(shown "$2"), for which --quick has no time")
            return 0
            ;;
        *) return 1 ;;
    esac
}

# one_run NAME ABOUT SERVER HOW, with the arguments of its source and its viewers in those arrays.
one_run() {
    local channels=1 place
    for place in "${!source[@]}"; do
        [[ ${source[place]} != --channels ]] || channels=${source[place + 1]}
    done
    # Emptied here: the last run's address must not be read before the new source has opened it.
    : >"$work/source.log"
    "$programs/corecast-load" source "${source[@]}" >"$work/source.log" &
    source_pid=$!
    local address
    until address=$(sed -n 's/^ready listen=\([^ ]*\).*/\1/p' "$work/source.log") && [[ -n $address ]]; do
        kill -0 "$source_pid" || fail "the source ended: $(cat "$work/source.log")"
        sleep 0.01
    done
    if start_server "$3" "$address" "$channels"; then
        measure "$@"
    else
        unmeasured+=("$1 with $(shown "$3"), which did not start")
    fi
    stop_keeper
    stop_server
    end_process "$source_pid"
    source_pid=''
}

# measure NAME ABOUT SERVER HOW: the server runs.
measure() {
    case $4 in
        warm) start_keeper 2 ;;
        patient) start_keeper $((patience_ms / 1000)) ;;
    esac
    local code=0
    "$programs/corecast-load" viewers "${viewers[@]}" \
        --url "$server_url" --server-pid "$server_pid" --source "$address" "${server_metrics[@]}" \
        --server "$(shown "$3")" --load "$1" --about "$2" --round "$round" --commit "$server_version" \
        --json "$runs" >"$work/run.txt" || code=$?
    ((code <= 1)) || fail "no result of $1 with $3"
    ((code == 0)) || sed -n 's/^FAULT */        /p' "$work/run.txt"
}

# A viewer that was there before the others.
start_keeper() {
    curl -s -o /dev/null "${server_url/\{\}/1}" &
    keeper_pid=$!
    sleep "$1"
    kill -0 "$keeper_pid" 2>/dev/null || fail "the first viewer was refused by $server_url"
}

stop_keeper() {
    [[ -n $keeper_pid ]] || return 0
    end_process "$keeper_pid"
    keeper_pid=''
}

source_pid='' keeper_pid='' server_pid='' known=() unmeasured=()
work=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT TERM
# Some servers give up being root.
chmod 0755 "$work"
runs=$work/runs.jsonl
# One descriptor for each viewer and each of nginx's upstream connections, in this shell and what it starts.
ulimit -S -n "$(ulimit -H -n)"
# Round 0 measures nothing: it learns the names.
for ((round = 0; round <= rounds; round++)); do
    whole_set
    ((round > 0)) || check_names
done

mkdir -p "$report"
cp "$runs" "$report/runs.jsonl"
"$programs/corecast-load" report "$runs" --html "$report/report.html" --markdown "$report/report.md" \
    --json "$report/rows.jsonl" || (($? == 1))
((${#unmeasured[@]} == 0)) || printf 'not measured: %s\n' "${unmeasured[@]}" | sort -u
printf '\nThe report is %s\n' "$report/report.html"
# Others may fall behind; these two may not.
awk '/"server":"(corecast|reference)/ && !/"faulty_rounds":0/ { is_faulty = 1 } END { exit is_faulty }' "$report/rows.jsonl"
