#!/bin/bash
# Build User-mode Linux with WireGuard in it from Debian's linux-source package, and print where it is.
#
# The result is kept in ${XDG_CACHE_HOME:-~/.cache}/wgpy under a name made of the source version, this script and
# the configuration, so a change of any builds anew and everything else returns at once. 3 minutes on 2 cores.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config=$here/wireguard.config
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wgpy
needs="flex bison bc xz-utils make gcc libc6-dev"

fail() {
    echo "build.sh: $1" >&2
    exit 1
}

build() {
    # Room for the processor state of every host: 2696 bytes are too few where there is AMX (11,008), and the
    # first process dies of it. The kernel stack, where a copy lives, grows along (wireguard.config).
    tar -xf "$source" -C "$work" &&
        sed -i 's/DEFINE_LONGS(HOST_FP_SIZE, 2696)/DEFINE_LONGS(HOST_FP_SIZE, 16384)/' \
            "$work/$tree/arch/x86/um/user-offsets.c" &&
        make -C "$work/$tree" ARCH=um O="$work/out" KCONFIG_ALLCONFIG="$config" allnoconfig &&
        nice make -C "$work/$tree" ARCH=um O="$work/out" -j "$(nproc)" linux &&
        strip -o "$work/linux" "$work/out/linux"
}

source=$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' | sort -V | tail -n 1)
[ -n "$source" ] || fail "no kernel source; install it: apt-get install linux-source $needs"
tree=$(basename "$source" .tar.xz)
version=$(dpkg-query -W -f '${Version}' "$tree")
kernel=$cache/linux-um-$version-$(cat "$config" "$here/build.sh" | sha256sum | cut -c 1-12)

mkdir -p "$cache"
exec 9> "$cache/build.lock"
flock 9
if [ ! -x "$kernel" ]; then
    for tool in flex bison bc xz make gcc; do
        command -v $tool > /dev/null || fail "$tool is missing; install it: apt-get install $needs"
    done
    echo "build.sh: building $kernel, about 3 minutes" >&2
    rm -rf "$cache"/tree.*  # of a build that was killed; the lock says that none is running
    work=$(mktemp -d "$cache/tree.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    build > "$cache/build.log" 2>&1 9>&- || fail "the build failed, see $cache/build.log"
    mv "$work/linux" "$kernel"
fi
echo "$kernel"
