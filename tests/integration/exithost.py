"""Says to who asks by TCP what its address is, and asks; runs on hosts.

exithost.py serve PORT
exithost.py ask ADDRESS PORT              prints the address that the server sees
exithost.py flood PORT ADDRESS...         sends datagrams by UDP to each address, until it is killed
"""

import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

_TIMEOUT = 3.0  # seconds
_PAUSE = 0.01


def serve(port: str) -> None:
    server = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        asker, address = server.accept()
        with asker:
            asker.sendall(address[0].removeprefix("::ffff:").encode())


def ask(address: str, port: str) -> None:
    try:
        with socket.create_connection((address, int(port)), timeout=_TIMEOUT) as server:
            print(server.recv(100).decode())
    except OSError as error:
        sys.exit(f"{error}")


def flood(port: str, *addresses: str) -> None:
    sockets = {
        address: socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        for address in addresses
    }
    while True:
        for address, sender in sockets.items():
            with suppress(OSError):
                sender.sendto(b"leak", (address, int(port)))
        time.sleep(_PAUSE)


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {"serve": serve, "ask": ask, "flood": flood}
    verbs[sys.argv[1]](*sys.argv[2:])
