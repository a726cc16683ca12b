"""What the caller and the process inside say to each other: a line of JSON and some descriptors. unix(7)

One asks, the other one answers; so there is at most one message on its way.
"""

import json
import os
import socket
from array import array
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_READ_SIZE: Final = 1 << 16
MAX_FILENOS: Final = 64  # of a message
_SPACE: Final = socket.CMSG_LEN(MAX_FILENOS * array("i").itemsize)
MAX_MESSAGE: Final = 1 << 25  # bytes


class Message(NamedTuple):
    """filenos: the receiver's, who closes them."""

    values: dict[str, Any]
    filenos: list[int]


def send(channel: socket.socket, values: dict[str, Any], filenos: Sequence[int] = ()) -> None:
    """Raises OSError."""
    line = json.dumps(values, ensure_ascii=False).encode(errors="surrogateescape") + b"\n"
    sent = socket.send_fds(channel, [line], list(filenos))
    channel.sendall(line[sent:])


def receive(channel: socket.socket) -> Message | None:
    """Wait for a message; None once the other end has ended. Raises OSError."""
    data, filenos = bytearray(), list[int]()
    while not data.endswith(b"\n"):
        # Not by socket.recv_fds, which forgets its flags: children would inherit the descriptors.
        chunk, found, _, _ = channel.recvmsg(_READ_SIZE, _SPACE, socket.MSG_CMSG_CLOEXEC)
        filenos += [fileno for _, _, packed in found for fileno in array("i", packed)]
        data += chunk
        if not chunk or len(data) > MAX_MESSAGE:
            for fileno in filenos:
                os.close(fileno)
            return None
    return Message(json.loads(data.decode(errors="surrogateescape")), filenos)
