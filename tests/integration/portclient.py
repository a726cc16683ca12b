"""Runs on a host of a test of rules with ports: serves ports, or tries them and prints as JSON what answers.

portclient.py serve ADDRESS…                         echoes on TCP_PORTS and UDP_PORTS
portclient.py try ADDRESS…                           PROTOCOL PORT of each that answers, of each address
"""

import json
import select
import socket
import sys

TCP_PORTS = 5432, 5433
UDP_PORTS = 5354, 54
CLOSED = 55  # UDP; an ICMP error says so
WAITING = 1.5  # seconds; within a host
LARGE = 3000  # bytes: several fragments


def family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(*addresses: str) -> None:
    sockets = []
    for address in addresses:
        for port in TCP_PORTS:
            sockets.append(listener := socket.socket(family(address), socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen()
        for port in UDP_PORTS:
            sockets.append(echo := socket.socket(family(address), socket.SOCK_DGRAM))
            echo.bind((address, port))
    print("ready", flush=True)
    while True:
        for ready in select.select(sockets, [], [])[0]:
            if ready.type == socket.SOCK_STREAM:
                ready.accept()[0].close()
            else:
                data, asker = ready.recvfrom(65535)
                ready.sendto(data, asker)


def try_(*addresses: str) -> None:
    print(json.dumps([found for address in addresses for found in _found(address)]))


def _found(address: str) -> list[str]:
    found = [f"tcp {port}" for port in TCP_PORTS if _connects(address, port)]
    found += [f"udp {port}" for port in UDP_PORTS if _echoes(address, port, 20)]
    found += [f"large udp {port}" for port in UDP_PORTS if _echoes(address, port, LARGE)]
    return found + [f"refused udp {CLOSED}" for _ in range(_refuses(address, CLOSED))]


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), WAITING).close()
    except OSError:
        return False
    return True


def _asker(address: str, port: int, size: int) -> socket.socket:
    asker = socket.socket(family(address), socket.SOCK_DGRAM)
    asker.settimeout(WAITING)
    asker.connect((address, port))
    asker.send(bytes(size))
    return asker


def _echoes(address: str, port: int, size: int) -> bool:
    try:
        return len(_asker(address, port, size).recv(65535)) == size
    except OSError:
        return False


def _refuses(address: str, port: int) -> bool:
    try:
        _asker(address, port, 20).recv(1)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


if __name__ == "__main__":
    {"serve": serve, "try": try_}[sys.argv[1]](*sys.argv[2:])
