"""Many nodes that come to one coordinator at once, in one process: `python -m benchmarks.mesh.storm_nodes`.

The program reads `Nodes` as JSON, and a line when they are to begin. Each node has its own connection and
address in 127.0.0.0/8, submits its record, follows, and is settled when it was sent the records of all nodes.
The program prints a line of JSON when all are. It speaks HTTP by itself and decodes no record, since a
thousand nodes that decode a thousand records each would take longer than what is measured.
"""

import asyncio
import json
import os
import resource
import ssl
import sys
import time
from dataclasses import dataclass
from typing import Any

from wgpy.mesh import codec
from wgpy.mesh.records import network_id
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.wire import proof, write_signed

_AT_ONCE = 50  # connections that begin
_NICENESS = 5  # in earnest each node has a host of its own
_NODE = rb"\"type\":\"node\""  # as a line spells it


@dataclass(frozen=True, slots=True)
class Nodes:
    """records: one of each identity; first: number of the first node; count: of nodes in all processes."""

    port: int
    network: VerifyKey
    identities: tuple[SigningKey, ...]
    records: tuple[bytes, ...]
    first: int
    since: int
    count: int


class _Node:
    def __init__(self, nodes: Nodes, number: int, tls: ssl.SSLContext) -> None:
        self._nodes = nodes
        self._tls = tls
        self._identity = nodes.identities[number]
        self._record = Signed.from_bytes(nodes.records[number])
        self._address = f"127.1.{(nodes.first + number) // 250}.{1 + (nodes.first + number) % 250}"

    async def settle(self, gate: asyncio.Semaphore) -> None:
        async with gate:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._nodes.port, ssl=self._tls, local_addr=(self._address, 0)
            )
            challenge = (await _ask(reader, writer, "GET /v1/hello"))["challenge"]
            header = proof(self._identity, network_id(self._nodes.network), challenge)
            body = json.dumps({"records": [write_signed(self._record)]})
            answer = await _ask(reader, writer, "POST /v1/records", body)
            if answer["results"][0]["verdict"] != "new":
                raise RuntimeError(f"the coordinator says {answer}")
            _send(writer, f"GET /v1/follow?since={self._nodes.since}", header)
        await self._hear_all(reader)
        writer.close()

    async def _hear_all(self, reader: asyncio.StreamReader) -> None:
        heard, rest = 0, b""
        while heard < self._nodes.count:
            data = await reader.read(1 << 16)
            if not data:
                raise RuntimeError("the coordinator ended a connection")
            rest += data
            heard += rest.count(_NODE)
            rest = rest[-len(_NODE) + 1 :]


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: str, body: str = ""
) -> dict[str, Any]:
    _send(writer, request, body=body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:"))
    return dict(json.loads(await reader.readexactly(length)))


def _send(writer: asyncio.StreamWriter, request: str, authorization: str = "", body: str = "") -> None:
    lines = [f"{request} HTTP/1.1", "Host: coordinator"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    writer.write("\r\n".join([*lines, "", body]).encode())


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _settle(nodes: Nodes) -> None:
    gate, tls = asyncio.Semaphore(_AT_ONCE), _unverified()
    async with asyncio.TaskGroup() as group:
        for number in range(len(nodes.identities)):
            group.create_task(_Node(nodes, number, tls).settle(gate))


def main() -> None:
    os.nice(_NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    nodes = codec.read(Nodes, json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    asyncio.run(_settle(nodes))
    print(json.dumps({"settled": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main()
