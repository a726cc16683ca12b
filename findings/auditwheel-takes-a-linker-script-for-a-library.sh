#!/bin/sh
# auditwheel 6.8.2, pyelftools 0.33 (PyPI); glibc 2.36 with libc6-dev (Debian 12), Linux 6.18, 2026-11-29.
#
# `auditwheel show` of a wheel for musl ends with a traceback on a host with glibc and its headers, if a module in it asks for
# `libc.so`, as those do that zig, or a cross compiler for musl, has linked. It looks the name up in this host's folders, and
# there libc.so is the linker's script. Wheels that were made on Alpine ask for libc.musl-x86_64.so.1 instead, and are judged.
# With `--ldpaths` and an empty folder there is no traceback.
#
# Seen:
#   libc.musl-x86_64.so.1: is consistent
#   libc.so: elftools.common.exceptions.ELFError: Magic number does not match
set -eu
script=/usr/lib/x86_64-linux-gnu/libc.so
grep -qs 'GNU ld script' "$script" || { echo "$script is no linker script here: apt-get install libc6-dev, on x86-64"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check auditwheel==6.8.2 pyelftools==0.33
judge() { # $1: a wheel; what it says ends with its verdict
    "$folder/venv/bin/pip" download -q --disable-pip-version-check --no-deps --dest "$folder/$1" \
        --only-binary :all: --platform musllinux_1_2_x86_64 --python-version 3.11 "$1"
    "$folder/venv/bin/auditwheel" show "$folder/$1"/*.whl 2>&1 | grep -oE 'is consistent|^[a-z.]+\.ELFError: .*'
}
seen="libc.musl-x86_64.so.1: $(judge markupsafe==3.0.3)
libc.so: $(judge rpds-py==2026.9.1)"
echo "$seen"
[ "$seen" = "libc.musl-x86_64.so.1: is consistent
libc.so: elftools.common.exceptions.ELFError: Magic number does not match" ]
