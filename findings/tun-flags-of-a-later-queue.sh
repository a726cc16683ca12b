#!/bin/sh
# Linux 6.18.44, Python 3.11.7, 2026-11-28. Needs root and /dev/net/tun.
#
# TUNSETIFF at an interface that exists: the flags of who asks must be those of the interface, or replace them, or are
# ignored, and only the first is an error. IFF_MULTI_QUEUE must match. IFF_VNET_HDR replaces what was, if no queue is
# attached; at the second queue the call succeeds, and the queue has the header or not as the first has it. A program that
# relies on the success of its own call then reads or writes packets that are ten bytes off; TUNGETIFF tells the truth.
#
# Seen:
#   persistent, no header; attached with IFF_VNET_HDR: header
#   persistent, one queue; attached with IFF_MULTI_QUEUE: EINVAL
#   first queue without header; second with IFF_VNET_HDR: no header
set -eu
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cat > "$program" << 'PYTHON'
import errno
import fcntl
import struct
from typing import BinaryIO

TUNSETIFF, TUNSETPERSIST, TUNGETIFF = 0x400454CA, 0x400454CB, 0x800454D2
IFF_TUN, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x1, 0x100, 0x1000, 0x4000


def attach(name: str, flags: int) -> BinaryIO:
    queue = open("/dev/net/tun", "r+b", buffering=0)
    fcntl.ioctl(queue, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | flags))
    return queue


def outcome(name: str, flags: int) -> str:
    try:
        with attach(name, flags) as queue:
            (present,) = struct.unpack_from("H", fcntl.ioctl(queue, TUNGETIFF, bytes(40)), 16)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "header" if present & IFF_VNET_HDR else "no header"


with attach("persistent", 0) as queue:
    fcntl.ioctl(queue, TUNSETPERSIST, 1)
print("persistent, no header; attached with IFF_VNET_HDR:", outcome("persistent", IFF_VNET_HDR))
print("persistent, one queue; attached with IFF_MULTI_QUEUE:", outcome("persistent", IFF_MULTI_QUEUE))
with attach("queues", IFF_MULTI_QUEUE):
    second = outcome("queues", IFF_MULTI_QUEUE | IFF_VNET_HDR)
print("first queue without header; second with IFF_VNET_HDR:", second)
PYTHON
seen=$(unshare -n python3 "$program")
echo "$seen"
[ "$seen" = "persistent, no header; attached with IFF_VNET_HDR: header
persistent, one queue; attached with IFF_MULTI_QUEUE: EINVAL
first queue without header; second with IFF_VNET_HDR: no header" ]
