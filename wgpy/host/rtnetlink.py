"""A request to the kernel's network, and its answer, in this network namespace. rtnetlink(7)"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from .netlink_message import (
    HEADER,
    INT,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    aligned,
    encode_message,
)

_READ_SIZE: Final = 1 << 16


def request(kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    """Give the bodies of the kernel's answer. Raises OSError."""
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC)) as kernel:
        kernel.send(encode_message(kind, NLM_F_REQUEST | flags, 1, body))
        while True:
            for answer, found in _messages(kernel.recv(_READ_SIZE)):
                if answer == NLMSG_ERROR and (error := -INT.unpack_from(found)[0]):
                    raise OSError(error, os.strerror(error))
                if answer in (NLMSG_ERROR, NLMSG_DONE):
                    return
                yield found


def change(kind: int, body: bytes, flags: int = 0) -> None:
    """Have the kernel change something. Raises OSError."""
    for _ in request(kind, NLM_F_ACK | flags, body):
        pass


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        size, kind, *_ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : size]
        data = data[aligned(size) :]
