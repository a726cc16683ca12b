"""A server, and checks of who is reached; runs in pods and on nodes, with nothing but the standard library.

webpod.py serve PORT NAME   answer every connection, by IPv4 and IPv6, with a page that begins with this name
webpod.py check CHECKS      make all these checks at once, and print those that failed; CHECKS: see below
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

_TIMEOUT = 20.0  # seconds
_PAGE = 1 << 18  # bytes: the packets of a page are of full size
_PIECE = 1 << 12
_HEADERS = {4: 28, 6: 48}  # bytes of IP and ICMP


def serve(port: str, name: str) -> None:
    page = f"{name}\n".encode().ljust(_PAGE, b".")
    with socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        print(f"{name} serves", flush=True)
        while True:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # a probe of kubelet leaves at once
                connection.settimeout(_TIMEOUT)
                connection.sendall(page)


def check(checks: str) -> None:
    """Each check is [kind, address, argument, ...]."""
    with ThreadPoolExecutor(16) as pool:
        failures = [failure for failure in pool.map(_failure, json.loads(checks)) if failure]
    print(json.dumps(failures))


def _failure(check: list[Any]) -> str:
    kind, *arguments = check
    try:
        _KINDS[kind](*arguments)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"{check}: {error!r}"
    return ""


def _ping(address: str, size: int) -> None:
    """Have a packet of so many bytes answered that nobody may fragment."""
    payload = size - _HEADERS[6 if ":" in address else 4]
    once = ("ping", "-n", "-c", "1", "-W", str(int(_TIMEOUT)), "-M", "do", "-s", str(payload))
    done = subprocess.run([*once, address], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stdout + done.stderr)


def _page(address: str, port: int, name: str) -> None:
    """Get a whole page from whom it is expected."""
    if (answered := _name(address, port)) != name:
        raise ValueError(f"{answered} answered")


def _service(address: str, port: int, names: list[str]) -> None:
    """Ask until each of these has answered, and nobody else; a new service may first be unknown."""
    seen: set[str] = set()
    end = time.monotonic() + _TIMEOUT
    while seen != set(names):
        try:
            seen.add(_name(address, port))
        except ConnectionRefusedError:
            time.sleep(0.1)
        if time.monotonic() > end:
            raise ValueError(f"only {sorted(seen)} answered")


def _named(name: str, version: int, port: int, names: list[str]) -> None:
    """As `_service`, by a name that has an address of a version of IP."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    found = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
    _service(str(found[0][4][0]), port, names)


def _slowly(address: str, port: int) -> None:
    """Take a page in small pieces, over seconds, unless none comes for five."""
    with socket.create_connection((address, port), _TIMEOUT) as connection:
        connection.settimeout(5)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
        while connection.recv(_PIECE):
            time.sleep(0.1)


def _connect(address: str, port: int) -> None:
    socket.create_connection((address, port), _TIMEOUT).close()


def _name(address: str, port: int) -> str:
    with socket.create_connection((address, port), _TIMEOUT) as connection:
        page = bytearray()
        while data := connection.recv(_PAGE):
            page += data
    if len(page) != _PAGE:
        raise ValueError(f"a page of {len(page)} bytes came instead of {_PAGE}")
    return page.split(b"\n")[0].decode()


_KINDS: dict[str, Callable[..., None]] = {
    "ping": _ping,
    "page": _page,
    "service": _service,
    "named": _named,
    "slowly": _slowly,
    "connect": _connect,
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if name == "serve":
        serve(*arguments)
    else:
        check(*arguments)
