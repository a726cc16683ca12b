#!/bin/sh
# Tries packages on what this host is not, made of Debian's packages in a folder that is removed:
#
#   elsewhere.sh emulated WHEEL      a Python for the wheel's processor, by qemu: its pip installs the wheel from the index
#   elsewhere.sh debian SUITE DEB    a new Debian, whose apt installs the package with what that depends on
#
# Where a program for that is missing, it says so and succeeds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place" # mmdebstrap's user is another one

main() {
    needs mmdebstrap
    case $1 in
        emulated) emulated "$2" ;;
        debian) debian "$2" "$(realpath "$3")" ;;
    esac
}

needs() {
    command -v "$1" > /dev/null || {
        echo "NOT TRIED: there is no $1 here"
        exit 0
    }
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
    PYTHONPATH=$place/installed "$launcher" "$python" "$here/selfcheck.py" --launcher "$launcher" native portable
}

# shellcheck disable=SC2016  # $1 is the new Debian's root
debian() {
    quietly mmdebstrap --variant=apt --format=null --customize-hook="copy-in '$2' '$here/selfcheck.py' /tmp" \
        --customize-hook='chroot "$1" apt-get -q -y install --no-install-recommends "/tmp/'"$(basename "$2")"'"' \
        --customize-hook='chroot "$1" python3 /tmp/selfcheck.py native portable' \
        "$1" /dev/null
    grep -E 'a packet arrived|it works' "$place/log"
}

# Run a command that says a lot, and show that if it fails.
quietly() {
    "$@" > "$place/log" 2>&1 || {
        cat "$place/log"
        exit 1
    }
}

main "$@"
