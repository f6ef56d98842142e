# shellcheck shell=bash
# The recipe of the static archives that Debian's own packages do not offer in a form that links
# statically. Sourced by scripts/deps; its content is part of the name of the folder it fills.
# Some ${...} below are for pkg-config to expand.
# shellcheck disable=SC2016

DEPS_SUITE_OF_LEXBOR=forky
DEPS_CFLAGS='-O2 -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong -D_FORTIFY_SOURCE=2'

# deps_build PREFIX WORK: fetches into WORK and installs into PREFIX.
deps_build() {
    local prefix=$1 work=$2
    export CFLAGS=$DEPS_CFLAGS CXXFLAGS=$DEPS_CFLAGS
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    unset CC CXX LDFLAGS CPPFLAGS
    mkdir -p "$prefix/lib/pkgconfig" "$prefix/include"
    say "fetching sources by apt:"
    private_apt_init "$work" "$DEPS_SUITE_OF_LEXBOR"
    private_apt_binary liblexbor-dev
    private_apt_source zeromq3
    private_apt_source nghttp2
    private_apt_source c-ares
    private_apt_source curl
    private_apt_source libmicrohttpd
    private_apt_source postgresql-15
    say "building (about a minute):"
    deps_lexbor "$prefix" "$work"
    # Three chains side by side: configure scripts leave a processor idle.
    local pid pids=() failed=no
    (
        deps_nghttp2 "$prefix" "$work"
        deps_cares "$prefix" "$work"
        deps_curl "$prefix" "$work"
    ) &
    pids+=($!)
    (
        deps_zmq "$prefix" "$work"
        deps_microhttpd "$prefix" "$work"
    ) &
    pids+=($!)
    deps_pq "$prefix" "$work" &
    pids+=($!)
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=yes
    done
    [ "$failed" = no ] || die "the archives could not be built"
    deps_relocatable "$prefix"
}

# deps_build_tsan PREFIX WORK: libzmq alone, built for ThreadSanitizer, which can follow what one
# thread hands another through a queue only when it sees the queue's code.
deps_build_tsan() {
    local prefix=$1 work=$2
    export CFLAGS="$DEPS_CFLAGS -fno-omit-frame-pointer -fsanitize=thread"
    export CXXFLAGS=$CFLAGS LDFLAGS=-fsanitize=thread
    unset CC CXX CPPFLAGS
    mkdir -p "$prefix/lib/pkgconfig" "$prefix/include"
    private_apt_init "$work" "$DEPS_SUITE_OF_LEXBOR"
    private_apt_source zeromq3
    deps_zmq "$prefix" "$work"
    deps_relocatable "$prefix"
}

# Debian's archive of lexbor needs nothing but a few old names of the C library.
deps_lexbor() {
    local prefix=$1 from=$2/liblexbor-dev/usr
    say "  lexbor"
    cp -r "$from/include/lexbor" "$prefix/include/"
    cp "$from"/lib/*/liblexbor_static.a "$prefix/lib/liblexbor.a"
    sed -e "s|^prefix=.*|prefix=$prefix|" -e 's|^libdir=.*|libdir=${prefix}/lib|' \
        -e 's|^includedir=.*|includedir=${prefix}/include|' \
        "$from"/lib/*/pkgconfig/lexbor.pc >"$prefix/lib/pkgconfig/lexbor.pc"
    echo 'Libs.private: -lm' >>"$prefix/lib/pkgconfig/lexbor.pc"
}

# deps_cmake NAME PREFIX WORK OPTION...
deps_cmake() {
    local prefix=$2 src=$3/$1
    shift 3
    run_quietly "$src.log" cmake -S "$src" -B "$src/build" -G Ninja -DCMAKE_BUILD_TYPE=None \
        -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib "$@"
    run_quietly "$src.log" ninja -C "$src/build" -j "$JOBS" install
}

# deps_configure NAME PREFIX WORK OPTION...
deps_configure() {
    local prefix=$2 src=$3/$1
    shift 3
    (
        cd "$src" || exit
        run_quietly "$src.log" ./configure --prefix="$prefix" --libdir="$prefix/lib" \
            --disable-shared --enable-static --disable-dependency-tracking "$@"
        for dir in include lib src/include src/microhttpd; do
            if [ -f "$dir/Makefile" ]; then
                run_quietly "$src.log" make -j "$JOBS" -C "$dir"
                run_quietly "$src.log" make -C "$dir" install
            fi
        done
    )
}

# Only what drover speaks: tcp, ipc and inproc with CURVE.
deps_zmq() {
    say "  libzmq"
    deps_cmake zeromq3 "$1" "$2" -DBUILD_SHARED=OFF -DBUILD_STATIC=ON -DBUILD_TESTS=OFF \
        -DWITH_LIBSODIUM=ON -DENABLE_CURVE=ON -DWITH_LIBBSD=OFF -DWITH_DOCS=OFF \
        -DWITH_PERF_TOOL=OFF -DENABLE_DRAFTS=OFF -DENABLE_WS=OFF -DWITH_TLS=OFF -DWITH_NSS=OFF \
        -DENABLE_CPACK=OFF -DENABLE_CLANG=OFF
}

# Debian's archive of libmicrohttpd needs GnuTLS, which links only as a shared object. The
# coordinator serves plain HTTP on loopback, so TLS is left out.
deps_microhttpd() {
    say "  libmicrohttpd"
    deps_configure libmicrohttpd "$1" "$2" --disable-https --disable-doc --disable-examples \
        --disable-curl --disable-nls --disable-tools
    sed "s|@prefix@|$1|" "$2/libmicrohttpd/libmicrohttpd.pc" \
        >"$1/lib/pkgconfig/libmicrohttpd.pc"
}

deps_nghttp2() {
    say "  nghttp2"
    deps_cmake nghttp2 "$1" "$2" -DENABLE_LIB_ONLY=ON -DENABLE_STATIC_LIB=ON \
        -DENABLE_SHARED_LIB=OFF
    rm -rf "$1/share"
}

# c-ares with small tables of queries under way. curl has a resolver for each of its handles, which
# asks for one name at a time, and c-ares 1.18 spends 72 KB on 2048 + 1024 list heads in each (newer
# versions have hash tables that grow): 10,000 connections would take 0.9 GB.
deps_cares() {
    say "  c-ares"
    sed -i -E -e 's/^(#define ARES_QID_TABLE_SIZE) .*/\1 16/' \
        -e 's/^(#define ARES_TIMEOUT_TABLE_SIZE) .*/\1 16/' "$2/c-ares/src/lib/ares_private.h"
    deps_cmake c-ares "$1" "$2" -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_STATIC_PIC=ON \
        -DCARES_BUILD_TOOLS=OFF
    rm -rf "$1/share" "$1/lib/cmake"
}

# HTTP and HTTPS only. No default CA file: the programs bring their own bundle.
deps_curl() {
    local off=() feature
    say "  curl"
    for feature in ftp file ldap ldaps rtsp dict telnet tftp pop3 imap smb smtp gopher mqtt \
        manual libcurl-option ntlm ntlm-wb tls-srp unix-sockets alt-svc hsts netrc doh aws \
        kerberos-auth negotiate-auth sspi websockets symbol-hiding \
        headers-api mime form-api; do
        off+=("--disable-$feature")
    done
    for feature in libpsl librtmp libidn2 gssapi libssh2 libssh ca-bundle ca-path ca-fallback \
        zsh-functions-dir fish-functions-dir; do
        off+=("--without-$feature")
    done
    deps_configure curl "$1" "$2" --with-openssl --with-nghttp2="$1" --enable-ares="$1" --with-zlib \
        --with-brotli --with-zstd "${off[@]}"
    # curl's own file names libraries, but not the libraries that those need in turn.
    sed -e 's|^Libs:.*|Libs: -L${libdir} -lcurl|' -e '/^#/d' -e '/^Libs.private:/d' \
        "$2/curl/libcurl.pc" >"$1/lib/pkgconfig/libcurl.pc"
    echo 'Requires.private: libnghttp2 libcares openssl libzstd libbrotlidec libbrotlicommon zlib' \
        >>"$1/lib/pkgconfig/libcurl.pc"
}

# libpq with the two archives that it needs, for the PostgreSQL sink. Debian's libpq links with
# Kerberos and LDAP.
deps_pq() {
    local prefix=$1 src=$2/postgresql-15 part
    say "  libpq"
    cd "$src" || exit
    run_quietly "$src.log" ./configure --prefix="$prefix" --without-readline --without-icu \
        --without-zlib --with-openssl
    run_quietly "$src.log" make -j "$JOBS" -C src/backend generated-headers
    for part in common port interfaces/libpq; do
        run_quietly "$src.log" make -j "$JOBS" -C "src/$part"
    done
    cp src/interfaces/libpq/libpq-fe.h src/include/postgres_ext.h src/include/pg_config_ext.h \
        "$prefix/include/"
    cp src/interfaces/libpq/libpq.a src/common/libpgcommon.a src/port/libpgport.a "$prefix/lib/"
    cat >"$prefix/lib/pkgconfig/libpq.pc" <<EOF
prefix=$prefix

Name: libpq
Description: PostgreSQL client library
Version: $(sed -n "s/^PACKAGE_VERSION='\(.*\)'$/\1/p" config.log)
Libs: -L\${prefix}/lib -lpq
Libs.private: -lpgcommon -lpgport -lm
Requires.private: openssl
Cflags: -I\${prefix}/include
EOF
}

# The folder is renamed into place after the build: nothing in it may name the folder it was
# built in.
deps_relocatable() {
    local prefix=$1 pc
    find "$prefix" -name '*.la' -delete
    rm -rf "${prefix:?}/bin" "$prefix/share" "$prefix/lib/cmake"
    for pc in "$prefix"/lib/pkgconfig/*.pc; do
        sed -i -e "s|$prefix|\${pcfiledir}/../..|g" "$pc"
    done
    if grep -rl -- "$prefix" "$prefix/lib/pkgconfig"; then
        die "these files still name the build folder"
    fi
}
