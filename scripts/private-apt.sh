# shellcheck shell=bash
# Fetches Debian source packages and single binary packages without touching the machine's apt
# sources or lists. The private configuration takes mirrors from the machine's own sources (apt
# itself reads them, so both file formats work), and its proxy and login settings by reading
# apt.conf.d and auth.conf.d as always. Signatures are checked by apt. Sourced by deps-build.sh.

PRIVATE_APT_DIR=
PRIVATE_APT_OPTIONS=()

# Prints "uri release component" for each of Debian's own suites of the running release that the
# machine's apt is configured for. --print-uris fetches nothing and needs neither root nor
# downloaded indexes; where there are some, they tell which suites are not Debian's.
private_apt_machine_sources() {
    local codename=$1 foreign
    # $(...) is apt's own field syntax here.
    # shellcheck disable=SC2016
    foreign=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 != "Debian" { sub("/$", "", $NF); print $NF " " }')
    apt-get update --print-uris |
        sed -nE "s|^'(.*)/dists/([^/]+)/(main)/binary-[^/]+/Packages.*|\\1 \\2 \\3|p" |
        awk -v c="$codename" '$2 == c || $2 == c "-updates" || $2 == c "-security"' |
        grep -vF "${foreign:-no such line}" | sort -u
}

# private_apt_init DIR NEWER: reads the indexes of the sources of this release, and of the
# binaries of the suite NEWER from the same mirror.
private_apt_init() {
    local dir=$1 newer=$2 codename arch keyring signed='' uri release component
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    arch=$(dpkg --print-architecture)
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    if [ -r "$keyring" ]; then
        signed=" signed-by=$keyring"
    fi
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    : >"$dir/status"
    while read -r uri release component; do
        echo "deb-src [arch=$arch$signed] $uri $release $component"
        if [ "$release" = "$codename" ] && [ "$component" = main ]; then
            echo "deb [arch=$arch$signed] $uri $newer main"
        fi
    done < <(private_apt_machine_sources "$codename") >"$dir/sources.list"
    grep -q '^deb ' "$dir/sources.list" ||
        die "apt has no Debian source for '$codename': see docs/DEPENDENCIES.md"
    PRIVATE_APT_DIR=$dir
    PRIVATE_APT_OPTIONS=(
        -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$dir/lists" -o "Dir::State::status=$dir/status"
        -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=$(id -un)"
        -o Acquire::Languages=none -o Acquire::Retries=3
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    )
    run_quietly "$dir/update.log" apt-get "${PRIVATE_APT_OPTIONS[@]}" update --error-on=any
}

# private_apt_versions SOURCE: the versions on offer, newest first.
private_apt_versions() {
    local version sorted=()
    while read -r version; do
        local i=${#sorted[@]}
        while [ "$i" -gt 0 ] && dpkg --compare-versions "${sorted[i - 1]}" lt "$version"; do
            sorted[i]=${sorted[i - 1]}
            i=$((i - 1))
        done
        sorted[i]=$version
    done < <(apt-cache "${PRIVATE_APT_OPTIONS[@]}" showsrc --only-source "$1" |
        awk '/^Version:/ { print $2 }')
    printf '%s\n' "${sorted[@]}"
}

# private_apt_source SOURCE: unpacks a source package, patches applied, into DIR/SOURCE. A version
# that the index names and the mirror does not hold gives way to the one before it.
private_apt_source() {
    local name=$1 version fetched='' dir=$PRIVATE_APT_DIR/fetch-$1
    mkdir -p "$dir"
    for version in $(private_apt_versions "$name"); do
        if (cd "$dir" && apt-get "${PRIVATE_APT_OPTIONS[@]}" -q source --download-only \
            --only-source "$name=$version") >"$dir.log" 2>&1; then
            fetched=$version
            break
        fi
        warn "$name $version cannot be fetched; trying an older version"
    done
    if [ -z "$fetched" ]; then
        tail -n 20 "$dir.log" >&2
        die "the source package $name cannot be fetched"
    fi
    private_apt_check_sums "$dir"/*.orig.tar.*
    # The .dsc was checked by apt against the signed index; maintainers' keys are not needed.
    run_quietly "$dir.log" dpkg-source --no-check -x "$dir"/*.dsc "$PRIVATE_APT_DIR/$name"
    say "  $name $fetched"
}

# private_apt_binary PACKAGE: unpacks a binary package into DIR/PACKAGE without installing it.
private_apt_binary() {
    local name=$1 dir=$PRIVATE_APT_DIR/fetch-$1
    mkdir -p "$dir"
    (cd "$dir" && run_quietly "$dir.log" apt-get "${PRIVATE_APT_OPTIONS[@]}" -q download "$name")
    private_apt_check_sums "$dir"/*.deb
    dpkg-deb -x "$dir"/*.deb "$PRIVATE_APT_DIR/$name"
    say "  $(basename "$dir"/*.deb)"
}

# Compares files with sources.sha256: a wrong sum ends the build, an unknown name warns.
private_apt_check_sums() {
    local file name want
    for file in "$@"; do
        name=$(basename "$file")
        case $name in *.asc) continue ;; esac
        want=$(awk -v n="$name" '$2 == n { print $1 }' "$DROVER_ROOT/scripts/sources.sha256")
        if [ -z "$want" ]; then
            warn "$name is newer than scripts/sources.sha256 (its apt signature is good)"
        elif ! echo "$want  $file" | sha256sum --check --quiet >/dev/null 2>&1; then
            die "$name has not the SHA-256 of scripts/sources.sha256"
        fi
    done
}
