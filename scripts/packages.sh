# shellcheck shell=bash
# Sourced by the scripts that need tools: installs Debian packages, or says which ones to install.

# Says what is wrong, in the name of the script that was called, and ends it.
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

# install_packages PACKAGE...
install_packages() {
    [[ $EUID -eq 0 ]] || command -v sudo >/dev/null || fail "neither root nor sudo: apt-get install $*"
    command -v apt-get >/dev/null || fail "missing packages, and no apt-get: $*"
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Where cargo builds for the folder it is called in.
target_folder() {
    cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}
