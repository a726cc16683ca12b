"""Begin and answer flows by TCP, UDP and ICMP, honestly and not; with nothing but the standard library.

flows.py serve ADDRESS...           echo by TCP and UDP and print what arrives; for each line of its input
                                    send another datagram to the sender of the last one
flows.py begin NAME=ADDRESS...      try each protocol at each address; print those that were answered, as JSON
flows.py hold ADDRESS               begin a connection and a UDP flow; for each line try whether they go on
flows.py fill ADDRESS COUNT         begin a UDP flow, then so many others; for each line try whether the first
                                    goes on, and a new one
flows.py errors ADDRESS BEYOND      provoke ICMP errors of each kind; print those that arrived, as JSON
flows.py trace ADDRESS              print who answers each number of hops until the host itself does, as JSON
flows.py forge SOURCE DESTINATION   send what begins a connection, and what only looks as if one had begun;
                                    print what was answered by SYN and ACK, as JSON

BEYOND is an address behind the host that has ADDRESS, to which it forwards by a smaller MTU.
"""

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Any

TCP_PORT, UDP_PORT, CLOSED_PORT = 7001, 7002, 7009
WAIT = 1.0  # seconds, for an answer
BEGINNING = 30.0  # seconds, for the first one
FILLED_PORTS = 10_000  # the first of many
BURST, BURST_INTERVAL = 64, 0.005  # datagrams at once, and seconds: a TUN's queue takes 500
SMALL_MTU = 1280
MAX_HOPS = 8
_SYN, _RST, _ACK = 2, 4, 16
_MTU_DISCOVER = {
    4: (socket.IPPROTO_IP, 10),
    6: (socket.IPPROTO_IPV6, 23),
}  # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER
_MTU = {4: (socket.IPPROTO_IP, 14), 6: (socket.IPPROTO_IPV6, 24)}  # IP_MTU, IPV6_MTU
_RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}  # IP_RECVERR, IPV6_RECVERR
_HOPS = {4: (socket.IPPROTO_IP, socket.IP_TTL), 6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
_OFFENDER = {4: (20, 4), 6: (24, 16)}  # its place in the error, and its size: ip(7), ipv6(7)
_PMTUDISC_DO = 2


def version(address: str) -> int:
    return ip_address(address).version


def open_socket(address: str, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET if version(address) == 4 else socket.AF_INET6, kind, protocol)
    made.settimeout(WAIT)
    return made


# -- serve ------------------------------------------------------------------------------------------


def serve(*addresses: str) -> None:
    askers: list[tuple[socket.socket, Any]] = []
    for address in addresses:
        listener = open_socket(address, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagrams = open_socket(address, socket.SOCK_DGRAM)
        for one, port in ((listener, TCP_PORT), (datagrams, UDP_PORT)):
            one.settimeout(None)
            one.bind((address, port))
        listener.listen()
        Thread(target=_accept, args=(listener,), daemon=True).start()
        Thread(target=_echo_datagrams, args=(datagrams, askers), daemon=True).start()
    print("ready", flush=True)
    for _ in sys.stdin:
        own, asker = askers[-1]
        own.sendto(b"again", asker)


def _accept(listener: socket.socket) -> None:
    while True:
        connection, peer = listener.accept()
        print("tcp from", peer[0], flush=True)
        Thread(target=_echo_stream, args=(connection,), daemon=True).start()


def _echo_stream(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(1 << 16):
            connection.sendall(data)


def _echo_datagrams(own: socket.socket, askers: list[tuple[socket.socket, Any]]) -> None:
    while True:
        data, asker = own.recvfrom(1 << 16)
        print("udp from", asker[0], len(data), flush=True)
        askers.append((own, asker))
        own.sendto(data, asker)


# -- begin, hold --------------------------------------------------------------------------------------


def begin(*named: str) -> None:
    """Try everything at once, so that all that is not answered takes WAIT."""
    answered: list[str] = []
    tries = [
        Thread(target=_try, args=(answered, f"{name} {protocol}{version(address)}", attempt, address))
        for name, address in (one.split("=") for one in named)
        for protocol, attempt in (("tcp", _tcp), ("udp", _udp), ("icmp", _icmp))
    ]
    for one in tries:
        one.start()
    for one in tries:
        one.join()
    print(json.dumps(sorted(answered)))


def _try(answered: list[str], name: str, attempt: Callable[[str], bool], address: str) -> None:
    with suppress(OSError):
        if attempt(address):
            answered.append(name)


def _tcp(address: str) -> bool:
    with open_socket(address, socket.SOCK_STREAM) as connection:
        connection.connect((address, TCP_PORT))
        return _is_echoed(connection)


def _udp(address: str) -> bool:
    with open_socket(address, socket.SOCK_DGRAM) as flow:
        flow.connect((address, UDP_PORT))
        return _is_echoed(flow)


def _icmp(address: str) -> bool:
    ping = ["ping", "-n", "-q", "-c", "1", "-W", str(WAIT), address]
    return subprocess.run(ping, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _is_echoed(one: socket.socket) -> bool:
    one.sendall(b"hello")
    return one.recv(100).endswith(b"hello")  # perhaps with an echo that was late


def _begins(flow: socket.socket) -> bool:
    """Say whether one of many datagrams is echoed: a busy host may lose some."""
    for _ in range(int(BEGINNING / WAIT)):
        with suppress(TimeoutError):
            return _is_echoed(flow)
    return False


def _is_sent_again(flow: socket.socket) -> bool:
    while flow.recv(100) != b"again":
        pass  # an echo that was late
    return True


def hold(address: str) -> None:
    connection, flow = open_socket(address, socket.SOCK_STREAM), open_socket(address, socket.SOCK_DGRAM)
    connection.settimeout(BEGINNING)
    connection.connect((address, TCP_PORT))
    flow.connect((address, UDP_PORT))
    print("held" if _is_echoed(connection) and _begins(flow) else "not held", flush=True)
    connection.settimeout(WAIT)
    for _ in sys.stdin:
        answered: list[str] = []
        _try(answered, "tcp", lambda _: _is_echoed(connection), address)
        _try(answered, "udp", lambda _: _is_sent_again(flow), address)
        print("still", *answered, flush=True)


def fill(address: str, count: str) -> None:
    first, others = open_socket(address, socket.SOCK_DGRAM), open_socket(address, socket.SOCK_DGRAM)
    first.connect((address, UDP_PORT))
    print("held" if _begins(first) else "not held", flush=True)
    for number in range(int(count)):
        others.sendto(b"hello", (address, FILLED_PORTS + number))
        if number % BURST == 0:
            time.sleep(BURST_INTERVAL)
    print("filled", flush=True)
    for _ in sys.stdin:
        answered: list[str] = []
        _try(answered, "first", lambda _: _is_sent_again(first), address)
        _try(answered, "new", _udp, address)
        print("still", *answered, flush=True)


# -- errors -----------------------------------------------------------------------------------------


def errors(address: str, beyond: str) -> None:
    arrived: list[str] = []
    for name, attempt, target in (
        ("port unreachable", _port_unreachable, address),
        ("reset", _reset, address),
        ("hops exceeded", _hops_exceeded, beyond),
        ("too big", _too_big, beyond),
    ):
        _try(arrived, name, attempt, target)
    print(json.dumps(arrived))


def _port_unreachable(address: str) -> bool:
    with open_socket(address, socket.SOCK_DGRAM) as flow:
        flow.connect((address, CLOSED_PORT))
        return _fails(flow, ConnectionRefusedError)


def _reset(address: str) -> bool:
    with open_socket(address, socket.SOCK_STREAM) as connection:
        try:
            connection.connect((address, CLOSED_PORT))
        except ConnectionRefusedError:
            return True
    return False


def _hops_exceeded(beyond: str) -> bool:
    """What traceroute does."""
    with open_socket(beyond, socket.SOCK_DGRAM) as flow:
        flow.setsockopt(*_HOPS[version(beyond)], 1)
        flow.setsockopt(*_RECVERR[version(beyond)], 1)
        flow.connect((beyond, UDP_PORT))
        return _fails(flow, OSError)


def _fails(flow: socket.socket, kind: type[OSError]) -> bool:
    flow.send(b"hello")
    try:
        flow.recv(100)
    except TimeoutError:
        return False
    except kind:
        return True
    return False


def _too_big(beyond: str) -> bool:
    with open_socket(beyond, socket.SOCK_DGRAM) as flow:
        flow.setsockopt(*_MTU_DISCOVER[version(beyond)], _PMTUDISC_DO)
        flow.connect((beyond, UDP_PORT))
        flow.send(bytes(1300))
        end = time.monotonic() + WAIT
        while flow.getsockopt(*_MTU[version(beyond)]) != SMALL_MTU and time.monotonic() < end:
            time.sleep(0.02)
        return flow.getsockopt(*_MTU[version(beyond)]) == SMALL_MTU


# -- trace ------------------------------------------------------------------------------------------


def trace(address: str) -> None:
    """What traceroute shows; "*" for nobody."""
    found: list[str] = []
    while len(found) < MAX_HOPS and address not in found:
        found.append(_answers(address, len(found) + 1))
    print(json.dumps(found))


def _answers(address: str, hops: int) -> str:
    with open_socket(address, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(*_HOPS[version(address)], hops)
        probe.setsockopt(*_RECVERR[version(address)], 1)
        probe.connect((address, CLOSED_PORT))
        if not _fails(probe, OSError):
            return "*"
        _, ((_, _, error), *_), _, _ = probe.recvmsg(100, 200, socket.MSG_ERRQUEUE)
    at, size = _OFFENDER[version(address)]
    return str(ip_address(error[at : at + size]))


# -- forge ------------------------------------------------------------------------------------------


def forge(source: str, destination: str) -> None:
    """A connection that was begun is one that the other end answers by SYN and ACK."""
    with open_socket(destination, socket.SOCK_RAW, socket.IPPROTO_TCP) as heard:
        for number, (_, packets) in enumerate(_forgeries(source, destination)):
            for packet in packets(40_000 + number):
                _send(destination, packet)
        answered = _answered(heard, version(destination))
    names = [name for name, _ in _forgeries(source, destination)]
    print(json.dumps([names[port - 40_000] for port in sorted(answered)]))


def _forgeries(source: str, destination: str) -> list[tuple[str, Callable[[int], list[bytes]]]]:
    """Packets by their source port, under their name."""

    def segment(flags: int) -> Callable[[int], list[bytes]]:
        return lambda port: _packets(source, destination, 6, _segment(source, destination, port, flags))

    def pieces(first: int, flags: int = _SYN) -> Callable[[int], list[bytes]]:
        return lambda port: _packets(
            source, destination, 6, _segment(source, destination, port, flags), first
        )

    return [
        ("SYN", segment(_SYN)),
        ("SYN+ACK", segment(_SYN | _ACK)),
        ("RST", segment(_RST)),
        ("ACK", segment(_ACK)),
        ("SYN in two fragments", pieces(24)),
        ("SYN in a fragment too short for its flags", pieces(8)),
        ("datagram in two fragments", lambda port: _packets(
            source, destination, 17, _datagram(source, destination, port), 24
        )),
    ]  # fmt: skip


def _segment(source: str, destination: str, port: int, flags: int) -> bytes:
    options, payload = b"\x01\x01\x01\x01", bytes(24 if flags == _SYN else 0)
    header = struct.pack("!HHIIBBHHH", port, TCP_PORT, 1, 1, 6 << 4, flags, 8192, 0, 0) + options
    return _summed(source, destination, 6, header + payload, 16)


def _datagram(source: str, destination: str, port: int) -> bytes:
    payload = bytes(40)
    header = struct.pack("!HHHH", port, UDP_PORT, 8 + len(payload), 0)
    return _summed(source, destination, 17, header + payload, 6)


def _summed(source: str, destination: str, protocol: int, data: bytes, at: int) -> bytes:
    """Put the checksum in its field. RFC 1071"""
    pseudo = (
        ip_address(source).packed + ip_address(destination).packed + struct.pack("!II", len(data), protocol)
    )
    padded = pseudo + data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", ~total & 0xFFFF) + data[at + 2 :]


def _packets(source: str, destination: str, protocol: int, data: bytes, first: int = 0) -> list[bytes]:
    """Return the IP packet, or its two fragments. first: bytes of the payload in the first one."""
    number = int.from_bytes(data[:2])  # the source port, so each packet has another
    if version(source) == 4:
        return _packets4(source, destination, protocol, data, first, number)
    return _packets6(source, destination, protocol, data, first, number)


def _packets4(
    source: str, destination: str, protocol: int, data: bytes, first: int, number: int
) -> list[bytes]:
    both = ip_address(source).packed + ip_address(destination).packed
    pieces = [(data[:first], 0x2000), (data[first:], first // 8)] if first else [(data, 0)]
    return [
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(piece), number, fragment, 64, protocol, 0) + both + piece
        for piece, fragment in pieces
    ]


def _packets6(
    source: str, destination: str, protocol: int, data: bytes, first: int, number: int
) -> list[bytes]:
    both = ip_address(source).packed + ip_address(destination).packed
    if not first:
        return [struct.pack("!IHBB", 6 << 28, len(data), protocol, 64) + both + data]
    return [
        struct.pack("!IHBB", 6 << 28, 8 + len(piece), 44, 64) + both
        + struct.pack("!BBHI", protocol, 0, fragment, number) + piece
        for piece, fragment in ((data[:first], 1), (data[first:], first))
    ]  # fmt: skip


def _send(destination: str, packet: bytes) -> None:
    with open_socket(destination, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(packet, (destination, 0))


def _answered(heard: socket.socket, ip_version: int) -> set[int]:
    """Return our ports at which SYN and ACK arrive within WAIT."""
    answered, end = set(), time.monotonic() + WAIT
    while (left := end - time.monotonic()) > 0:
        heard.settimeout(left)
        with suppress(TimeoutError):
            data = heard.recv(1 << 16)
            segment = data[20:] if ip_version == 4 else data
            port, own_port, flags = *struct.unpack("!HH", segment[:4]), segment[13]
            if port == TCP_PORT and flags & (_SYN | _ACK) == _SYN | _ACK:
                answered.add(own_port)
    return answered


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
