"""Has the command server run a command in the place of this process, and ends as that does.

commandclient.py --program=NAME SOCKET ARGUMENT...      with our environment, streams and namespaces
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence

_KINDS = ("net", "mnt", "pid")
_ROOM = 64  # bytes of an exit status


def start(
    server: str,
    process: int | str,
    words: Sequence[str],
    environment: Mapping[str, str],
    streams: Sequence[int],
) -> socket.socket:
    """Start a command in the namespaces of a process; it is terminated when what we return is closed.

    words: a program's name, and arguments; streams: standard input, output and error. Raises OSError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(server)
    namespaces = [os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY) for kind in _KINDS]
    try:
        request = json.dumps({"words": words, "environment": dict(environment)})
        socket.send_fds(connection, [request.encode()], [*streams, *namespaces])
    finally:
        for namespace in namespaces:
            os.close(namespace)
    return connection


def status_of(connection: socket.socket) -> int | None:
    """Wait for the command's end and return its exit status, None if it never ran. Raises TimeoutError."""
    status = connection.recv(_ROOM)
    return int(status) if status else None


def _main() -> int:
    name, server, *arguments = sys.argv[1:]
    words = [name.removeprefix("--program="), *arguments]
    status = status_of(start(server, "self", words, os.environ, (0, 1, 2)))
    return 127 if status is None else status % 256


if __name__ == "__main__":
    sys.exit(_main())
