"""Runs on hosts of a test of NATs: answers datagrams, or tells as JSON what a NAT does with them.

natclient.py serve OWN OTHER   answers at PORTS where a datagram came from; asked to, by its other port and by
                               the other server as well
natclient.py try OWN OTHER [PORT]
                               {"seen": as the servers' ports saw one socket, "heard": who could send to it}
"""

import json
import select
import socket
import sys
import time

PORTS = 7000, 7001
HELPER = 7002
WAITING = 1.0  # seconds; between namespaces


def serve(own: str, other: str) -> None:
    first, second, helper = sockets = [_bound(own, port) for port in (*PORTS, HELPER)]
    print("ready", flush=True)
    while True:
        for ready in select.select(sockets, [], [])[0]:
            data, source = ready.recvfrom(100)
            if ready is helper:
                host, port = data.decode().split()
                first.sendto(b"helper", (host, int(port)))
                continue
            ready.sendto(f"{source[0]}:{source[1]}".encode(), source)
            if data == b"all":
                second.sendto(b"port", source)
                helper.sendto(f"{source[0]} {source[1]}".encode(), (other, HELPER))


def attempt(own: str, other: str, port: str = "0") -> None:
    asking = _bound("0.0.0.0", int(port))
    seen = [
        _ask(asking, server, port) for server, port in ((own, PORTS[0]), (own, PORTS[1]), (other, PORTS[0]))
    ]
    listening = _bound("0.0.0.0", 0)
    listening.sendto(b"all", (own, PORTS[0]))
    heard, end = [], time.monotonic() + WAITING
    while (left := end - time.monotonic()) > 0 and select.select([listening], [], [], left)[0]:
        heard.append(listening.recv(100).decode())
    kinds = sorted("asked" if ":" in one else one for one in heard)
    print(json.dumps({"seen": seen, "heard": kinds, "port": asking.getsockname()[1]}))


def _ask(asking: socket.socket, server: str, port: int) -> str:
    for _ in range(20):
        asking.sendto(b"one", (server, port))
        while select.select([asking], [], [], WAITING)[0]:
            data, source = asking.recvfrom(100)
            if source == (server, port):
                return data.decode()
    return ""


def _bound(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    return made


if __name__ == "__main__":
    {"serve": serve, "try": attempt}[sys.argv[1]](*sys.argv[2:])
