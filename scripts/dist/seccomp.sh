#!/usr/bin/env bash
# seccomp.sh PROFILE: prints the seccomp profile of a container engine with the three calls of io_uring allowed.
#
# Docker's own profile is profiles/seccomp/default.json of the moby project, in the version of the engine:
#   curl -fsSLO https://raw.githubusercontent.com/moby/moby/v27.5.1/profiles/seccomp/default.json
#   scripts/dist/seccomp.sh default.json > corecast-seccomp.json
set -euo pipefail
[[ $# -eq 1 ]] || { printf 'seccomp.sh: which profile? one file is needed\n' >&2; exit 64; }
jq --exit-status 'if has("defaultAction") and (.syscalls | type) == "array"
    then .syscalls += [{
        names: ["io_uring_enter", "io_uring_register", "io_uring_setup"],
        action: "SCMP_ACT_ALLOW"
    }]
    else error("this is no seccomp profile: defaultAction and syscalls are missing")
    end' "$1"
