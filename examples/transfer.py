"""The two ends of the demo's TCP connection.

transfer.py receive ADDRESS     take one connection, print the SHA-256 of what came
transfer.py send ADDRESS        connect, send random bytes, print their SHA-256 and the seconds it took
"""

import hashlib
import os
import socket
import sys
import time

SIZE = 64 * 2**20
_PORT = 7777
_CHUNK = 2**20
_TIMEOUT = 10.0  # seconds


def receive(address: str) -> None:
    received = bytearray()
    with socket.create_server((address, _PORT)) as server:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(_CHUNK):
                received += data
    print(hashlib.sha256(received).hexdigest())


def send(address: str) -> None:
    """Send; what was sent has arrived when the other end closes."""
    data = os.urandom(SIZE)
    with _connect(address) as connection:
        start = time.monotonic()
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        print(hashlib.sha256(data).hexdigest(), time.monotonic() - start)


def _connect(address: str) -> socket.socket:
    """Connect to a receiver that is started at the same time, and may not listen yet."""
    end = time.monotonic() + _TIMEOUT
    while True:
        try:
            return socket.create_connection((address, _PORT), timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


if __name__ == "__main__":
    {"receive": receive, "send": send}[sys.argv[1]](sys.argv[2])
