"""Attacks on a coordinator by who reaches its port: `python -m benchmarks.mesh.attackers NAME PORT NETWORK`.

The program attacks until it is killed, at a lower priority, since in earnest it has a host of its own.
Many addresses are those of 127.0.0.0/8. NETWORK: the network's key, which a coordinator tells everybody.
"""

import asyncio
import ctypes
import itertools
import json
import os
import resource
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, cast

from wgpy.keys import PublicKey
from wgpy.mesh.records import Node, Removal, admit, encode, network_id
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.wire import proof, write_signed

_HOST: Final = "127.0.0.1"
_MANY: Final = 80  # addresses
_HELD: Final = 300  # connections
_MIB: Final = 1 << 20
_SSL_KEY_UPDATE_REQUESTED: Final = 1
_HALF_A_HEAD: Final = b"GET /v1/hello HTTP/1.1\r\nHost: x\r\n"
_HELLO: Final = _HALF_A_HEAD + b"\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Target:
    port: int
    network: VerifyKey

    async def plain(self, source: str = _HOST) -> Streams:
        return await asyncio.open_connection(_HOST, self.port, local_addr=(source, 0))

    async def tls(self, source: str = _HOST) -> Streams:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await asyncio.open_connection(_HOST, self.port, ssl=context, local_addr=(source, 0))


Attack = Callable[[Target, str], Awaitable[None]]  # once, from an address


def _post(length: int | None) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    kind = "Content-Type: application/json"
    return f"POST /v1/records HTTP/1.1\r\nHost: x\r\n{kind}\r\n{framing}\r\n\r\n".encode()


async def _submit(target: Target, source: str, records: list[Signed]) -> None:
    body = json.dumps({"records": list(map(write_signed, records))}).encode()
    reader, writer = await target.tls(source)
    with suppress(OSError):
        while True:
            writer.write(_post(len(body)) + body)
            if not (await reader.read(_MIB)).startswith(b"HTTP/1.1 200"):
                break
    writer.close()


def _unknown_node(network: bytes, number: int) -> Signed:
    """Return the record of a node whose signatures are all right, under a token that nobody knows."""
    identity, token, now = SigningKey.generate(), SigningKey.generate(), int(time.time())
    signer = identity.verify_key()
    record = Node(
        network=network, signer=signer, sequence=1, admitted=now, token=token.verify_key(),
        admission=admit(token, network, signer, now), name=f"unknown-{number}", key=PublicKey(bytes(signer)),
        address=IPv4Address("100.64.0.0") + 20_000 + number, routes=(), endpoints=(),
    )  # fmt: skip
    return identity.sign(encode(record))


async def _unknown_token(target: Target, source: str) -> None:
    await _submit(target, source, _unknown_nodes(network_id(target.network)))


def _unknown_nodes(network: bytes, _made: list[Signed] = []) -> list[Signed]:  # noqa: B006 - made once
    if not _made:
        _made.extend(_unknown_node(network, number) for number in range(100))
    return _made


async def _forged(target: Target, source: str) -> None:
    """Removals that claim to be the administrator's."""
    claimed = [
        Removal(
            network=network_id(target.network), signer=target.network, sequence=number, time=1, identity=key
        )
        for number, key in enumerate([target.network] * 100)
    ]
    await _submit(target, source, [Signed(encode(record), bytes(64)) for record in claimed])


async def _hold(streams: Streams, data: bytes = b"") -> None:
    """Send what there is, and wait until the other end closes."""
    reader, writer = streams
    writer.write(data)
    while await reader.read(_MIB):
        pass
    writer.close()


async def _silent(target: Target, source: str) -> None:
    await _hold(await target.plain(source))


async def _silent_tls(target: Target, source: str) -> None:
    await _hold(await target.tls(source))


async def _half_handshake(target: Target, source: str) -> None:
    """The first bytes of a ClientHello that says that it is longer."""
    await _hold(await target.plain(source), bytes.fromhex("16030102000100"))


async def _handshakes(target: Target, source: str) -> None:
    (await target.tls(source))[1].transport.abort()


async def _connections(target: Target, source: str) -> None:
    (await target.plain(source))[1].transport.abort()


async def _answers_not_taken(target: Target, source: str) -> None:
    """Large answers that the client does not read, nor ends its connection."""
    _, writer = await target.tls(source)
    cast(asyncio.Transport, writer.transport).pause_reading()
    writer.write(_HELLO.replace(b"/v1/hello", b"/openapi.json") * 200)
    await asyncio.sleep(5)
    writer.transport.abort()


async def _half_second_request(target: Target, source: str) -> None:
    await _hold(await target.tls(source), _HELLO + _HALF_A_HEAD)


async def _slow_head(target: Target, source: str) -> None:
    reader, writer = await target.tls(source)
    for number in itertools.cycle(_HALF_A_HEAD + b"x: " + b"y" * 999):
        writer.write(bytes((number,)))
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                if not await reader.read(1):
                    break
    writer.close()


async def _held_body(target: Target, source: str) -> None:
    await _hold(await target.tls(source), _post(8 * _MIB) + b"x" * (8 * _MIB - 1))


async def _junk(target: Target, source: str) -> None:
    """A body that is JSON, and all of it is read before it turns out to be nothing else."""
    await _hold(await target.tls(source), _post(8 * _MIB) + b"[" + b"0," * (4 * _MIB - 1) + b"]")


async def _after_refusal(target: Target, source: str) -> None:
    await _endless(target, source, _post(1 << 40), b"x" * _MIB)


async def _chunks(target: Target, source: str) -> None:
    await _endless(target, source, _post(None), b"1\r\nx\r\n" * 10_000)


async def _pipelined(target: Target, source: str) -> None:
    await _endless(target, source, b"", _HELLO * 1000)


async def _header_flood(target: Target, source: str) -> None:
    await _endless(target, source, _HALF_A_HEAD, b"a:\r\n" * 10_000)


async def _endless(target: Target, source: str, begin: bytes, more: bytes) -> None:
    _, writer = await target.tls(source)
    with suppress(OSError):
        writer.write(begin)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()
    writer.transport.abort()


async def _small_records(target: Target, source: str) -> None:
    """A body in TLS records of one byte."""
    _, writer = await target.tls(source)
    writer.write(_post(8 * _MIB))
    with suppress(OSError):
        while not writer.is_closing():
            for _ in range(2000):
                writer.write(b"x")
            await writer.drain()


async def _follow(target: Target, source: str) -> None:
    """A proof by a key that nobody knows."""
    reader, writer = await target.tls(source)
    writer.write(_HELLO)
    answer = await reader.read(_MIB)
    challenge = json.loads(answer.partition(b"\r\n\r\n")[2])["challenge"]
    shown = proof(SigningKey.generate(), network_id(target.network), challenge)
    head = f"GET /v1/follow HTTP/1.1\r\nHost: x\r\nAuthorization: {shown}\r\n\r\n"
    await _hold((reader, writer), head.encode())


async def _key_updates(target: Target, source: str) -> None:
    await asyncio.to_thread(_update_keys, target.port, source)


def _update_keys(port: int, source: str) -> None:
    """Change the keys of TLS 1.3 until the other end has had enough. Python's ssl cannot, libssl can."""
    libssl = ctypes.CDLL("libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(libssl, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(libssl.SSL_CTX_new(ctypes.c_void_p(libssl.TLS_client_method())))
    connection = ctypes.c_void_p(libssl.SSL_new(context))
    with socket.create_connection((_HOST, port), source_address=(source, 0)) as tcp:
        libssl.SSL_set_fd(connection, tcp.fileno())
        if libssl.SSL_connect(connection) == 1:
            while libssl.SSL_key_update(connection, _SSL_KEY_UPDATE_REQUESTED) == 1:
                if libssl.SSL_do_handshake(connection) != 1:
                    break
    libssl.SSL_free(connection)
    libssl.SSL_CTX_free(context)


# By name: what one connection does, how many there are at once, and from how many addresses.
ATTACKS: Final[dict[str, tuple[Attack, int, int]]] = {
    "valid signatures under an unknown token, 2 connections": (_unknown_token, 2, 1),
    "the same from 80 addresses, 80 connections": (_unknown_token, _MANY, _MANY),
    "forged removals, 2 connections": (_forged, 2, 1),
    "300 connections that say nothing": (_silent, _HELD, 1),
    "4,000 of them from 80 addresses": (_silent, 4000, _MANY),
    "300 TLS handshakes that do not end": (_half_handshake, _HELD, 1),
    "connections, again and again, from 80 addresses": (_connections, 50, _MANY),
    "TLS handshakes, again and again, from 80 addresses": (_handshakes, 20, _MANY),
    "TLS key updates without end, 4 connections": (_key_updates, 4, 1),
    "300 connections with nothing after the TLS handshake": (_silent_tls, _HELD, 1),
    "300 heads of one byte a second": (_slow_head, _HELD, 1),
    "heads without end, 10 connections": (_header_flood, 10, 1),
    "300 connections with half a second request": (_half_second_request, _HELD, 1),
    "pipelined requests, 10 connections": (_pipelined, 10, 1),
    "large answers that are not taken, from 80 addresses": (_answers_not_taken, _HELD, _MANY),
    "bodies of 8 MiB less a byte, from 80 addresses": (_held_body, _MANY, _MANY),
    "bodies of 8 MiB of other JSON, from 80 addresses": (_junk, _MANY, _MANY),
    "bodies that go on after the refusal, 2 connections": (_after_refusal, 2, 1),
    "chunks of one byte, 2 connections": (_chunks, 2, 1),
    "bodies in TLS records of one byte, 2 connections": (_small_records, 2, 1),
    "subscriptions by unknown keys, 20 connections": (_follow, 20, 1),
}


async def _again(attack: Attack, target: Target, sources: Iterator[str]) -> None:
    while True:
        with suppress(OSError, EOFError, ValueError, KeyError):
            await attack(target, next(sources))
        await asyncio.sleep(0.01)


async def _run(name: str, target: Target) -> None:
    attack, connections, addresses = ATTACKS[name]
    sources = itertools.cycle([f"127.1.0.{number}" for number in range(1, addresses + 1)])
    await asyncio.gather(*(_again(attack, target, sources) for _ in range(connections)))


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(5)
    name, port, network = sys.argv[1:]
    asyncio.run(_run(name, Target(int(port), VerifyKey.from_base64(network))))


if __name__ == "__main__":
    main()
