#!/bin/bash
# Build every component of Kubernetes, and etcd, into one program from the Go modules named here, and unpack Debian's
# packages of what runs pods. Prints the program's path; with --where only that, whether it was built or not.
#
# It is kept in ${XDG_CACHE_HOME:-~/.cache}/wgpy/kubernetes under a name made of these files, so a change of any builds
# anew and everything else returns at once. 11 minutes of processor time, 4 GB of disk; 20 s where Go kept its cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
release=$(sed -n 's#^\tk8s.io/kubernetes v##p' "$here/go.mod")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wgpy/kubernetes
place=$cache/$(cat "$here"/{go.mod,go.sum,main.go,build.sh} | sha256sum | cut -c 1-12)
packages="containerd runc containernetworking-plugins"

main() {
    mkdir -p "$cache"
    exec 9> "$cache/build.lock"
    flock -n 9 || { echo "build.sh: another build is under way: waiting for it" >&2 && flock 9; }
    rm -rf "$cache"/tmp.* # of a build that was killed; the lock says that none is running
    [ -x "$place/hk" ] || build_in "$place" build_program 9>&-
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

# One package at a time and with the lowest priority: whoever else uses this machine goes first. It ends with this
# script, however that ends.
build_program() {
    command -v go > /dev/null || fail "Go is missing; install Go 1.21 or newer, which itself gets the one needed"
    echo "build.sh: building Kubernetes $release, about 10 minutes" >&2
    total=$(go list -C "$here" -deps . | wc -l)
    CGO_ENABLED=0 setpriv --pdeathsig TERM nice -n 19 go build -C "$here" -v -p 1 -trimpath -buildvcs=false \
        -ldflags "$(linker_flags)" -o "$1/hk" . 2>&1 |
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
