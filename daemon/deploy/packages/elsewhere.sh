#!/bin/sh
# Tries packages on what this host is not, made of Debian's packages in a folder that is removed:
#
#   elsewhere.sh emulated WHEEL      a Python for the wheel's processor, by qemu: its pip installs the wheel from the index
#   elsewhere.sh musl WHEEL          a Python by musl's libc (musl.sh): this host's pip installs the wheel into it
#   elsewhere.sh debian SUITE DEB    a new Debian, whose apt installs the package with what that depends on
#   elsewhere.sh image               the container image that podman builds by the Containerfile: as root
#
# Where a program or a privilege for that is missing, it says so and succeeds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
vectors=$here/../../../tests/vectors/chacha20poly1305.json
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place" # mmdebstrap's user is another one

main() {
    needs mmdebstrap
    case $1 in
        emulated) emulated "$2" ;;
        musl) musl "$2" ;;
        debian) debian "$2" "$(realpath "$3")" ;;
        image) image ;;
    esac
}

needs() {
    command -v "$1" > /dev/null || not_tried "there is no $1 here"
}

not_tried() {
    echo "NOT TRIED: $1"
    exit 0
}

emulated() {
    processor=$(basename "$1" .whl | sed 's/.*manylinux_[0-9]*_[0-9]*_//')
    case $processor in
        aarch64) architecture=arm64 ;;
        *) architecture=$processor ;;
    esac
    launcher=qemu-$processor
    needs "$launcher"
    quietly mmdebstrap --variant=extract --architecture="$architecture" --include=python3,python3-pip-whl bookworm "$place/root"
    QEMU_LD_PREFIX=$place/root
    export QEMU_LD_PREFIX
    python=$(echo "$place"/root/usr/bin/python3.??)
    PYTHONPATH=$(echo "$place"/root/usr/share/python-wheels/pip-*.whl) "$launcher" "$python" -m pip \
        --disable-pip-version-check install -q --root-user-action=ignore --no-compile --only-binary :all: --target "$place/installed" "$1"
    PYTHONPATH=$place/installed "$launcher" "$python" "$here/selfcheck.py" --launcher "$launcher" --vectors "$vectors" native portable
}

musl() {
    python=$("$here/musl.sh")
    "$python" -m venv --without-pip "$place/environment"
    python3 -m venv "$place/pip"
    "$place/pip/bin/python" -m pip --python "$place/environment/bin/python" --disable-pip-version-check install -q \
        --only-binary :all: "$1"
    "$place/environment/bin/python" "$here/selfcheck.py" --vectors "$vectors" --exec native portable
}

# shellcheck disable=SC2016  # $1 is the new Debian's root
debian() {
    quietly mmdebstrap --variant=apt --format=null --customize-hook="copy-in '$2' '$here/selfcheck.py' /tmp" \
        --customize-hook='chroot "$1" apt-get -q -y install --no-install-recommends "/tmp/'"$(basename "$2")"'"' \
        --customize-hook='chroot "$1" python3 /tmp/selfcheck.py native portable' \
        "$1" /dev/null
    grep -E 'a packet arrived|it works' "$place/log"
}

# The daemon has what daemon/deploy/kubernetes gives it, and no more: capabilities, the TUN, and these folders to write to.
# Without cgroups, and with the limits that it has, it runs also where root is of a container.
# shellcheck disable=SC2016  # variables of the container's shell
image() {
    needs podman
    [ "$(id -u)" -eq 0 ] || not_tried "podman is tried by root alone"
    base=docker.io/library/debian:trixie-slim # the Containerfile's; made here of Debian's packages, without a registry
    quietly mmdebstrap --variant=minbase trixie "$place/base.tar"
    quietly in_place import "$place/base.tar" "$base"
    rm "$place/base.tar"
    quietly in_place build --isolation=chroot --pull=never --network=host --tag=localhost/wgpy:tried \
        --file="$here/../container/Containerfile" "$here/../../.."
    in_place run --rm --network=none --read-only --security-opt=no-new-privileges --cap-drop=ALL \
        --cap-add=NET_ADMIN,NET_BIND_SERVICE,SYS_NICE --device=/dev/net/tun \
        --tmpfs=/run/wireguard --tmpfs=/run/wgpyd --tmpfs=/var/lib/wgpyd \
        --cgroups=disabled --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 localhost/wgpy:tried sh -ec '
            wgpy genkey > /dev/null
            wgpyd --foreground wg0 &
            until wgpy show wg0 > /dev/null 2>&1; do sleep 0.1; done
            ip link set wg0 up
            kill $!
            wait $!
            echo "wgpyd of the image: it works"
        '
}

# podman, with images and containers in the folder that is removed. crun takes no cgroups of both versions at once.
in_place() {
    unshare --mount sh -ec 'umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec podman "$@"' sh \
        --root="$place/images" --runroot="$place/run" --storage-driver=overlay "$@"
}

# Run a command that says a lot, and show that if it fails.
quietly() {
    "$@" > "$place/log" 2>&1 || {
        cat "$place/log"
        exit 1
    }
}

main "$@"
