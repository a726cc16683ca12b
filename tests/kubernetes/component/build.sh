#!/bin/bash
# Build every component of Kubernetes, etcd and CoreDNS into one program from the Go modules named here, and flanneld into
# another, and unpack Debian's packages of what runs pods. Prints the path of the first program; with --where only that,
# whether it was built or not. The others are beside it.
#
# They are kept in ${XDG_CACHE_HOME:-~/.cache}/wgpy/kubernetes under a name made of these files, so a change of any builds
# anew and everything else returns at once. 12 minutes of processor time, 4 GB of disk; 20 s where Go kept its cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
release=$(sed -n 's#^\tk8s.io/kubernetes v##p' "$here/go.mod")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wgpy/kubernetes
place=$cache/$(cat "$here"/{,flannel/}{go.mod,go.sum,main.go} "$here/build.sh" | sha256sum | cut -c 1-12)
packages="containerd runc containernetworking-plugins"

main() {
    mkdir -p "$cache"
    exec 9> "$cache/build.lock"
    flock -n 9 || { echo "build.sh: another build is under way: waiting for it" >&2 && flock 9; }
    rm -rf "$cache"/tmp.* # of a build that was killed; the lock says that none is running
    [ -x "$place/hk" ] || build_in "$place" build_components 9>&-
    [ -x "$place/flanneld" ] || build_in "$place" build_flannel 9>&-
    [ -d "$place/runtime" ] || build_in "$place" unpack_runtime 9>&-
}

# Have a function make something in an empty folder, and move that to its place.
build_in() {
    work=$(mktemp -d "$cache/tmp.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "$2" "$work" || fail "$2 failed, see above"
    mkdir -p "$1"
    mv "$work"/* "$1"
    rm -rf "$work"
}

build_components() {
    build_program "Kubernetes $release, about 10 minutes" "$here" "$1/hk" "$(linker_flags)"
}

build_flannel() {
    build_program "flannel, about a minute" "$here/flannel" "$1/flanneld" "-s -w"
}

# One package at a time and with the lowest priority: whoever else uses this machine goes first. It ends with this
# script, however that ends. $1 says what; $2 the folder, $3 the program, $4 the linker's flags.
build_program() {
    command -v go > /dev/null || fail "Go is missing; install Go 1.21 or newer, which itself gets the one needed"
    echo "build.sh: building $1" >&2
    total=$(go list -C "$2" -deps . | wc -l)
    CGO_ENABLED=0 setpriv --pdeathsig TERM nice -n 19 go build -C "$2" -v -p 1 -trimpath -buildvcs=false \
        -ldflags "$4" -o "$3" . 2>&1 |
        awk -v total="$total" '/[: ]/ || NR % 100 == 0 { print "build.sh: " NR " of " total " packages: " $0; fflush() }' >&2
}

# Without its version in it, the program takes itself for v0.0.0, and its parts refuse each other.
linker_flags() {
    component=k8s.io/component-base/version
    IFS=. read -r major minor _ <<< "$release"
    echo "-s -w -X $component.gitVersion=v$release -X $component.gitMajor=$major -X $component.gitMinor=$minor"
}

# Not installed: the package containerd starts a service, and stands in the way of Docker's.
unpack_runtime() {
    # shellcheck disable=SC2086  # a list of words
    (cd "$1" && apt-get -q download $packages >&2) ||
        fail "apt-get could not download $packages: run apt-get update; where there is no apt-get, no nodes are tested"
    mkdir "$1/runtime"
    for package in "$1"/*.deb; do
        dpkg -x "$package" "$1/runtime"
        rm "$package"
    done
}

fail() {
    echo "build.sh: $1" >&2
    exit 1
}

[ "${1:-}" = --where ] || main
echo "$place/hk"
