"""What the caller and the process inside say to each other: a line of JSON and some descriptors. unix(7)

One asks, the other one answers; so there is at most one message on its way.
"""

import json
import os
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_READ_SIZE: Final = 1 << 16
_MAX_FILENOS: Final = 8
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
        chunk, found, _, _ = socket.recv_fds(channel, _READ_SIZE, _MAX_FILENOS, socket.MSG_CMSG_CLOEXEC)
        filenos += found
        data += chunk
        if not chunk or len(data) > MAX_MESSAGE:
            for fileno in filenos:
                os.close(fileno)
            return None
    return Message(json.loads(data.decode(errors="surrogateescape")), filenos)
