"""Both ends of a service; runs on pods, with nothing but the standard library.

webpods.py serve ADDRESS PORT NAME     answer every connection with a page that begins with this name
webpods.py ask ADDRESS PORT COUNT      connect until so many different names answered, and print them
"""

import socket
import sys

_TIMEOUT = 5.0  # seconds
_PAGE = 1 << 16  # bytes, so that packets of full size are in it
_CONNECTIONS = 200  # of three names, chosen at random, one is missed once in 10^35 times


def serve(address: str, port: str, name: str) -> None:
    page = f"{name}\n".encode().ljust(_PAGE, b".")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, int(port)), family=family) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(page)


def ask(address: str, port: str, count: str) -> None:
    names: set[str] = set()
    for _ in range(_CONNECTIONS):
        names.add(_name(address, int(port)))
        if len(names) == int(count):
            print(*sorted(names))
            return
    sys.exit(f"only {' '.join(sorted(names))} answered")


def _name(address: str, port: int) -> str:
    with socket.create_connection((address, port), timeout=_TIMEOUT) as connection:
        page = bytearray()
        while data := connection.recv(_PAGE):
            page += data
    if len(page) != _PAGE:
        sys.exit(f"a page of {len(page)} bytes came instead of {_PAGE}")
    return page.split(b"\n")[0].decode()


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
