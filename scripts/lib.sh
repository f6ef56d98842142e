# shellcheck shell=bash
# What the scripts share: messages, paths, and the tools to use. Sourced, never run.

set -euo pipefail

DROVER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DROVER_CACHE=${DROVER_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/drover}

# Debian's own tools before anything that a user's PATH puts in front of them (pyenv, conda):
# meson and the tests need the python3 that Debian's python3-* packages belong to.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH LC_ALL=C.UTF-8
# shellcheck disable=SC2034
PYTHON=/usr/bin/python3
# shellcheck disable=SC2034
JOBS=${DROVER_JOBS:-$(nproc)}

say() { printf '%s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The comment at the top of a script is its help text.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"; }

# run_quietly LOG COMMAND...: the output goes to LOG and is shown only when the command fails.
run_quietly() {
    local log=$1
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "failed: $* (whole output in $log)"
    fi
}

# Runs a command as root: directly, or by sudo when there is one.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: $*"
    fi
}

# installed PACKAGE: is the Debian package installed?
installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# packages_for PURPOSE...: names from packages.txt, each once.
packages_for() {
    local purpose
    for purpose in "$@"; do
        awk -v p="$purpose" '$1 == p { print $2 }' "$DROVER_ROOT/scripts/packages.txt"
    done | sort -u
}

# install_packages PURPOSE...: installs what is missing, and only then asks for root or the network.
install_packages() {
    local package missing=()
    [ -x /usr/bin/dpkg-query ] ||
        die "this is not Debian: docs/DEPENDENCIES.md lists what to install by hand"
    for package in $(packages_for "$@"); do
        installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    say "installing Debian packages: ${missing[*]}"
    as_root apt-get -q update >&2
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends install "${missing[@]}" >&2
}

# meson_build FOLDER [MESON_OPTION...]: configures FOLDER anew when its options or archives have
# changed, again when a source file came or went, and builds it. The compiler is $CC.
meson_build() {
    local dir=$DROVER_ROOT/$1 paths options sources again=()
    paths=$("$DROVER_ROOT/scripts/deps" --no-install)/lib/pkgconfig
    if [ "$1" = build-tsan ]; then
        paths=$("$DROVER_ROOT/scripts/deps" --no-install --tsan)/lib/pkgconfig,$paths
    fi
    shift
    # With the test packages there is more to build: a folder that was configured without is stale.
    options=$(printf '%s\n' "$paths" "${CC:-}" "$@" "cmocka $(installed libcmocka-dev && echo yes || echo no)")
    sources=$(cd "$DROVER_ROOT" && find common coordinator worker admin tests -name '*.c' | sort)
    if [ "$options" != "$(cat "$dir/configured" 2>/dev/null)" ]; then
        rm -rf "$dir"
        mkdir -p "$dir"
    elif [ "$sources" != "$(cat "$dir/sources" 2>/dev/null)" ]; then
        again=(--reconfigure)
    fi
    if [ ! -f "$dir/build.ninja" ] || [ ${#again[@]} -gt 0 ]; then
        say "configuring $(basename "$dir")"
        run_quietly "$dir/setup.log" meson setup "${again[@]}" "$dir" "$DROVER_ROOT" \
            --pkg-config-path="$paths" "$@"
        printf '%s\n' "$options" >"$dir/configured"
        printf '%s\n' "$sources" >"$dir/sources"
    fi
    say "building $(basename "$dir")"
    run_quietly "$dir/build.log" ninja -C "$dir" -j "$JOBS"
    # What the compiler warned of, without the linker's remarks on static programs.
    grep -A 8 -E '^[^ ]+:[0-9]+:[0-9]+: warning:' "$dir/build.log" >&2 || true
}

# build_kind gcc|clang|asan|tsan [MESON_OPTION...]: a build for developers and tests.
build_kind() {
    local kind=$1
    shift
    case $kind in
    gcc) CC=gcc meson_build build "$@" ;;
    clang) CC=clang-14 meson_build build-clang "$@" ;;
    asan)
        CC=gcc meson_build build-asan -Dbuildtype=debugoptimized \
            -Db_sanitize=address,undefined -Dc_args=-fno-sanitize-recover=all "$@"
        ;;
    tsan) CC=gcc meson_build build-tsan -Dbuildtype=debugoptimized -Db_sanitize=thread "$@" ;;
    fuzz)
        CC=clang-14 meson_build build-fuzz -Dbuildtype=debugoptimized -Dfuzz=true \
            -Db_lundef=false -Db_sanitize=address,undefined \
            "-Dc_args=-fno-sanitize-recover=all -fsanitize=fuzzer-no-link" "$@"
        ;;
    *) die "unknown kind of build '$kind'" ;;
    esac
}
