# shellcheck shell=bash
# Sourced by scripts/bench.sh: how each server is started for a benchmark, and ended.
#
# start_server SPEC SOURCE CHANNELS starts one whose n-th channel comes from http://SOURCE/ch/n.ts and waits until it
# listens; it fails if that server does not start, and for a server of the project ends everything. SPEC is a name, and
# for corecast and nginx keys of the configuration: `corecast@server.shards=1`. It sets
#   server_pid      its first process
#   server_url      what viewers ask for, {} being the number of the channel
#   server_version  what exactly was measured
#   server_metrics  arguments for the viewers that read the server's own counters
# stop_server ends it. Wants: $work, a folder for this run; $programs, where the project's programs lie; $commit.
# shellcheck disable=SC2034,SC2154  # what start_server sets is used by its caller, who sets what it wants

# Whether a server is there to be measured.
has_server() {
    case ${1%%@*} in
        icecast2 | nginx) command -v "${1%%@*}" >/dev/null ;;
        vlc) command -v vlc >/dev/null && command -v setpriv >/dev/null ;;
        *) true ;;
    esac
}

start_server() {
    local name=${1%%@*} keys=()
    [[ $1 == *@* ]] && IFS=, read -ra keys <<<"${1#*@}"
    server_log=$work/server.log
    server_metrics=()
    : >"$server_log"
    [[ $work != *[\"\<\>\&]* ]] || fail "$work has characters that configurations cannot hold: set TMPDIR"
    case $name in
        corecast) start_corecast "$2" "$3" "${keys[@]}" ;;
        reference) start_reference "$2" "$3" ;;
        before | after) start_baseline "$name" "$2" ;;
        icecast2) start_icecast2 "$2" "$3" ;;
        nginx) start_nginx "$2" "${keys[@]}" ;;
        vlc) start_vlc "$2" ;;
        *) fail "no server is called $name" ;;
    esac
}

stop_server() {
    [[ -n ${server_pid:-} ]] || return 0
    end_process "$server_pid"
    server_pid=
}

start_corecast() {
    local source=$1 channels=$2 section key channel
    shift 2
    {
        for section in server admin stream; do
            printf '[%s]\n' "$section"
            case $section in
                server) printf 'listen = ["127.0.0.1:0"]\ndrain_ms = 0\n' ;;
                admin) printf 'listen = "127.0.0.1:0"\n' ;;
            esac
            for key in "$@"; do
                [[ $key != "$section".* ]] || printf '%s\n' "${key#*.}"
            done
        done
        for ((channel = 1; channel <= channels; channel++)); do
            printf '[[channel]]\nid = %d\nname = "%d"\n' "$channel" "$channel"
            printf '[[channel.upstream]]\nurl = "http://%s/ch/%d.ts"\n' "$source" "$channel"
        done
    } >"$work/corecast.toml"
    "$programs/corecast" -c "$work/corecast.toml" 2>"$server_log" &
    server_pid=$!
    await_ready
    server_url=http://$(ready_value listen)/live/u/p/{}.ts
    server_metrics=(--metrics "http://$(ready_value admin)/metrics" --metric corecast_send_calls_total)
    server_version=$commit
}

start_reference() {
    local upstreams=() channel
    for ((channel = 1; channel <= $2; channel++)); do
        upstreams+=(--upstream "http://$1/ch/$channel.ts")
    done
    "$programs/corecast-reference" "${upstreams[@]}" --listen 127.0.0.1:0 2>"$server_log" &
    server_pid=$!
    await_ready
    server_url=http://$(ready_value listen)/{}.ts
    server_version=$commit
}

start_baseline() {
    python3 bench/baseline/baseline.py "$1" --upstream "http://$2/ch/1.ts" --listen 127.0.0.1:0 2>"$server_log" &
    server_pid=$!
    await_ready
    local address
    address=$(ready_value listen)
    server_url=http://$address/{}.ts
    server_metrics=(--metrics "http://$address/metrics" --metric baseline_writes_total)
    server_metrics+=(--metric baseline_chunks_total --metric baseline_lock_held_seconds_total)
    server_version="$commit, $(python3 --version)"
}

# One upstream connection per viewer, nothing buffered: what nginx does for live streams out of the box.
start_nginx() {
    local port settings='' key
    port=$(free_port)
    for key in "${@:2}"; do
        settings+="${key//=/ };"
    done
    cat >"$work/nginx.conf" <<CONF
daemon off;
worker_processes auto;
worker_rlimit_nofile 16384;
error_log "$server_log";
pid "$work/nginx.pid";
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path "$work/body";
    proxy_temp_path "$work/proxy";
    fastcgi_temp_path "$work/fastcgi";
    scgi_temp_path "$work/scgi";
    uwsgi_temp_path "$work/uwsgi";
    $settings
    server {
        listen 127.0.0.1:$port backlog=4096;
        location ~ ^/(\d+)\.ts\$ {
            proxy_pass http://$1/ch/\$1.ts;
            proxy_buffering off;
        }
    }
}
CONF
    nginx -c "$work/nginx.conf" -e "$server_log" 2>/dev/null &
    server_pid=$!
    await_port "$port" && await "has workers" has_children || return 1
    server_url=http://127.0.0.1:$port/{}.ts
    server_version=$(nginx -v 2>&1 | sed 's/.*: //')
}

# Relays of its own, fetched from the start on, with a queue as long as the reference's and no burst.
start_icecast2() {
    local port channel
    port=$(free_port)
    {
        cat <<CONF
<icecast>
  <limits>
    <clients>8192</clients> <sources>100</sources> <threadpool>5</threadpool>
    <queue-size>8388608</queue-size> <burst-on-connect>0</burst-on-connect> <burst-size>0</burst-size>
  </limits>
  <authentication><source-password>bench</source-password></authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>$port</port><bind-address>127.0.0.1</bind-address></listen-socket>
CONF
        for ((channel = 1; channel <= $2; channel++)); do
            printf '  <relay><server>%s</server><port>%s</port><mount>/ch/%d.ts</mount>' "${1%:*}" "${1##*:}" "$channel"
            printf '<local-mount>/%d.ts</local-mount><on-demand>0</on-demand></relay>\n' "$channel"
        done
        cat <<CONF
  <paths>
    <basedir>$work</basedir> <logdir>$work</logdir> <webroot>$work</webroot> <adminroot>$work</adminroot>
  </paths>
  <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog><loglevel>1</loglevel></logging>
  <security><chroot>0</chroot>
    <changeowner><user>nobody</user><group>nogroup</group></changeowner>
  </security>
</icecast>
CONF
    } >"$work/icecast.xml"
    : >"$work/error.log"
    : >"$work/access.log"
    [[ $EUID -ne 0 ]] || chown nobody:nogroup "$work/error.log" "$work/access.log"
    icecast2 -c "$work/icecast.xml" >"$server_log" 2>&1 &
    server_pid=$!
    await_port "$port" && await_media "http://127.0.0.1:$port/1.ts" || return 1
    server_url=http://127.0.0.1:$port/{}.ts
    server_version=$(icecast2 -v | tr '[:upper:] ' '[:lower:]/')
}

# Takes the packets apart and puts them together anew, so that their numbers are lost. Refuses to run as root.
start_vlc() {
    local port as_nobody=()
    port=$(free_port)
    [[ $EUID -ne 0 ]] || as_nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    HOME=$work "${as_nobody[@]}" vlc -I dummy --quiet "http://$1/ch/1.ts" \
        --sout "#standard{access=http,mux=ts,dst=127.0.0.1:$port/1.ts}" >"$server_log" 2>&1 &
    server_pid=$!
    await_port "$port" && await_media "http://127.0.0.1:$port/1.ts" || return 1
    server_url=http://127.0.0.1:$port/{}.ts
    server_metrics=(--opaque)
    server_version=$(HOME=$work "${as_nobody[@]}" vlc -I dummy --version 2>/dev/null | sed -n 's/^VLC version \([^ ]*\).*/vlc\/\1/p')
}

# Until the server says on standard error where it listens.
await_ready() {
    await "says that it is ready" grep -q 'ready listen=' "$server_log" || fail "a server of the project did not start"
}

ready_value() {
    sed -n "s/.*ready .*\<$1=\([^ ]*\).*/\1/p" "$server_log" | head -n 1
}

await_port() {
    await "listens on $1" is_open "$1"
}

has_children() {
    [[ -n $(cat "/proc/$server_pid/task/$server_pid/children") ]]
}

is_open() {
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Until a URL gives media: some servers listen before they have any.
await_media() {
    await "has media" gives_media "$1"
}

gives_media() {
    [[ $(curl -sf --max-time 1 -o /dev/null -w '%{size_download}' "$1") -gt 0 ]]
}

# await WHAT COMMAND...: until it succeeds, for ten seconds; says so if it does not.
await() {
    local what=$1 tries=0
    shift
    until "$@"; do
        if ! kill -0 "$server_pid" 2>/dev/null || ((++tries >= 400)); then
            printf '        not within 10 s: it %s; %s\n' "$what" "$(tail -n 3 "$server_log")" >&2
            return 1
        fi
        sleep 0.025
    done
}

# A port that nobody has taken, for servers that cannot choose one themselves.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Asks a process of ours to end, and makes it end after five seconds.
end_process() {
    kill "$1" 2>/dev/null || true
    local tries=0
    while kill -0 "$1" 2>/dev/null && ((++tries < 200)); do
        sleep 0.025
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
