#!/bin/sh
# Build a Python by musl's libc, of Debian's sources in a Debian of its own, and print its path.
#
# It has what wheels are installed and tried with, and no sqlite3. It is kept in
# ${XDG_CACHE_HOME:-~/.cache}/wgpy under a name made of this script, so a change of it builds anew and everything
# else returns at once. Four minutes of one processor. Any host of this processor runs it, from this place alone.
set -eu

packages=musl-tools,gcc,libc6-dev,linux-libc-dev,make,xz-utils,dpkg-dev,autoconf,automake,libtool,libltdl-dev
processor=$(uname -m)
prefix=${XDG_CACHE_HOME:-$HOME/.cache}/wgpy/musl-python-$(sha256sum "$0" | cut -c 1-12)

main() {
    mkdir -p "$(dirname "$prefix")"
    exec 9> "$prefix.lock"
    flock 9
    [ -x "$prefix/bin/python3" ] || outside
    echo "$prefix/bin/python3"
}

outside() {
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    chmod 755 "$place" # mmdebstrap's user is another one
    cp "$0" "$place/musl.sh"
    mmdebstrap --variant=apt --format=null --include="$packages" --customize-hook="copy-in '$place/musl.sh' /root" \
        --customize-hook="chroot \"\$1\" sh /root/musl.sh inside '$prefix'" \
        --customize-hook="copy-out '$prefix' '$place'" trixie /dev/null > "$place/log" 2>&1 || {
        cat "$place/log" >&2
        exit 1
    }
    rm -rf "$prefix" "$prefix.new"
    cp -R "$place/$(basename "$prefix")" "$prefix.new" # which may be on another disk, and end halfway
    mv "$prefix.new" "$prefix"
}

# As root of the new Debian. musl-gcc looks for no headers of the kernel, and takes itself for a compiler of glibc.
inside() {
    prefix=$1
    loader=ld-musl-$processor.so.1
    headers=/usr/include/$processor-linux-musl
    sed 's/^deb /deb-src /' /etc/apt/sources.list > /etc/apt/sources.list.d/sources.list
    apt-get -q update
    cd /root
    for source in zlib libffi openssl python3.13; do
        fetch "$source"
    done

    ln -s /usr/include/linux /usr/include/asm-generic "/usr/include/$processor-linux-gnu/asm" "$headers"
    cat > /usr/local/bin/musl-cc << SCRIPT
#!/bin/sh
[ "\$1" = --print-multiarch ] && echo "$processor-linux-musl" || exec musl-gcc "\$@"
SCRIPT
    chmod 755 /usr/local/bin/musl-cc
    mkdir -p "$prefix/bin" "$prefix/lib/python3.13"
    cp "/lib/$loader" "$prefix/lib" # the place that Python's programs name, as a host may have no musl

    export CC=musl-cc "CFLAGS=-O1 -fPIC" "MAKEFLAGS=-j$(nproc)"
    (cd zlib-* && ./configure --static --prefix=/root/libraries && make libz.a && make install)
    (cd libffi-* && ./autogen.sh && ./configure --host="$processor-linux-musl" --disable-shared --disable-docs \
        --prefix=/root/libraries && make -C "$processor"-* install)
    # Of OpenSSL what Python asks for, and what the world uses
    (cd openssl-* && ./Configure "linux-$processor" -O1 -fPIC --prefix=/root/libraries --libdir=lib \
        no-apps no-asm no-cms no-docs no-dtls no-engine no-legacy no-module no-quic no-shared no-srp no-tests no-ts \
        no-aria no-bf no-camellia no-cast no-des no-idea no-md4 no-mdc2 no-rc2 no-rc4 no-rmd160 no-seed \
        no-sm2 no-sm3 no-sm4 no-whirlpool && make build_libs && make install_dev)
    cd Python-3*
    libraries=/root/libraries/lib
    headers=-I/root/libraries/include
    ./configure --prefix="$prefix" --build="$processor-linux-musl" --without-ensurepip --disable-test-modules OPT=-O1 \
        --with-openssl=/root/libraries \
        "LIBFFI_CFLAGS=$headers" "LIBFFI_LIBS=-L$libraries -lffi" "ZLIB_CFLAGS=$headers" "ZLIB_LIBS=-L$libraries -lz" \
        "LDFLAGS=-Wl,--dynamic-linker=$prefix/lib/$loader"
    make
    make install
}

# Unpack the newest version of a source that can be fetched: mirrors list some that they have not yet.
fetch() {
    for version in $(apt-cache showsrc "$1" | sed -n 's/^Version: //p' | sort -rVu); do
        if apt-get -q source --tar-only "$1=$version"; then
            rm -f ./*.asc
            tar -xf "$1"_*.orig.tar.*
            rm "$1"_*
            return
        fi
    done
    return 1
}

case ${1:-} in
    inside) inside "$2" ;;
    *) main ;;
esac
