"""Send and receive checkable data; runs on any machine, with nothing but the standard library.

traffic.py tcp-sink ADDRESS PORT           accept one connection, print the SHA-256 of what came
traffic.py tcp-send ADDRESS PORT BYTES     connect, send that many random bytes, print their SHA-256
traffic.py udp-echo ADDRESS PORT           answer every datagram until killed
traffic.py udp-ask ADDRESS PORT SIZE...    send a random datagram of each size, then bursts by one call each;
                                           all must come back the same
"""

import hashlib
import os
import socket
import sys
import time
from collections.abc import Callable

_TIMEOUT = 20.0  # seconds
_ANYBODY = b"is anybody there?"
_BLOCK = 1 << 20
_UDP_SEGMENT = 103  # linux/udp.h
_BURSTS = [(1200, 30), (17, 40)] * 3  # size and number of datagrams


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp_sink(address: str, port: int) -> None:
    digest = hashlib.sha256()
    with socket.create_server((address, port), family=_family(address)) as server:
        server.settimeout(_TIMEOUT)
        connection, _ = server.accept()
    with connection:
        connection.settimeout(_TIMEOUT)
        while data := connection.recv(65536):
            digest.update(data)
    print(digest.hexdigest())


def tcp_send(address: str, port: int, size: int) -> None:
    digest = hashlib.sha256()
    with _connect(address, port) as connection:
        for at in range(0, size, _BLOCK):
            data = os.urandom(min(_BLOCK, size - at))
            digest.update(data)
            connection.sendall(data)
    print(digest.hexdigest())


def _connect(address: str, port: int) -> socket.socket:
    """Connect, and wait for the sink to be there: until then the answer is a refusal."""
    end = time.monotonic() + _TIMEOUT
    while True:
        try:
            return socket.create_connection((address, port), timeout=_TIMEOUT)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def udp_echo(address: str, port: int) -> None:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as echo:
        echo.bind((address, port))
        while True:
            data, source = echo.recvfrom(65536)
            echo.sendto(data, source)


def udp_ask(address: str, port: int, *sizes: int) -> None:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        _wait_for_echo(client)
        for size in sizes:
            data = os.urandom(size)
            client.send(data)
            if _echo(client) != data:
                sys.exit(f"a datagram of {size} bytes came back different")
        for size, count in _BURSTS:
            client.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, size)
            data = os.urandom(size * count - 1)
            client.send(data)
            if b"".join(_echo(client) for _ in range(count)) != data:
                sys.exit(f"{count} datagrams of {size} bytes came back different")


def _wait_for_echo(client: socket.socket) -> None:
    """Ask until the other side listens: until then the answer is a refusal, or nothing."""
    client.settimeout(0.2)
    for _ in range(100):
        try:
            client.send(_ANYBODY)
            client.recv(65536)
        except (ConnectionRefusedError, TimeoutError):
            time.sleep(0.05)
        else:
            client.settimeout(_TIMEOUT)
            return
    sys.exit("nobody echoes")


def _echo(client: socket.socket) -> bytes:
    """Receive, past late answers to _wait_for_echo."""
    while (data := client.recv(65536)) == _ANYBODY:
        pass
    return data


COMMANDS: dict[str, Callable[..., None]] = {
    "tcp-sink": tcp_sink,
    "tcp-send": tcp_send,
    "udp-echo": udp_echo,
    "udp-ask": udp_ask,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
