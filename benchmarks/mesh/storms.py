"""A storm: many nodes that join at once, and that return at once after their coordinator was away.

Builds take turns: each has a coordinator of its own, a database of its own, and the same records.
"""

import asyncio
import json
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from benchmarks.mesh.followers import coordinator, cpu_time, revision_of, submit
from benchmarks.mesh.network import Model, make
from benchmarks.mesh.storm_nodes import Nodes
from wgmesh.settings import DATABASE
from wgpy.mesh import codec

_PROCESSES = 2  # of nodes
_TIMEOUT = 900.0  # seconds, for anything

Builds = Mapping[str, Sequence[str]]  # the command of each build's wgmesh


@dataclass(frozen=True, slots=True)
class Storm:
    """settled: seconds until every node was sent a record of each; cpu: of the coordinator, in seconds."""

    build: str
    what: str
    settled: float
    cpu: float


async def storms(nodes: int, rounds: int, builds: Builds) -> AsyncIterator[Storm]:
    for number in range(rounds):
        names = list(builds)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with TemporaryDirectory(prefix="wgmesh-") as folder:
                async for storm in _storms(name, builds[name], nodes, Path(folder)):
                    yield storm


async def _storms(build: str, command: Sequence[str], nodes: int, folder: Path) -> AsyncIterator[Storm]:
    model = make(nodes, grouped=False)
    first = len(model.records) - nodes
    async with coordinator(folder, model, command) as (process, address):
        await submit(address, model, model.records[:first])
        port = urlsplit(address.url).port or 443
        joins = _divided(model, port, first, 0)
        yield await _storm(build, "joins", process.pid, joins)
        since = await revision_of(address, model)
    _check(folder, nodes, 1)
    async with coordinator(folder, model, command) as (process, address):
        begin = len(model.records)
        for number in range(nodes):
            model.move(number)
        port = urlsplit(address.url).port or 443
        yield await _storm(build, "returns", process.pid, _divided(model, port, begin, since))
    _check(folder, nodes, 2)


def _divided(model: Model, port: int, first: int, since: int) -> list[Nodes]:
    """first: number of the first of the nodes' records."""
    count, network = len(model.identities), model.key.verify_key()
    size = -(-count // _PROCESSES)
    return [
        Nodes(
            port, network, tuple(model.identities[start : start + size]),
            tuple(map(bytes, model.records[first + start : first + min(start + size, count)])),
            start, since, count,
        )
        for start in range(0, count, size)
    ]  # fmt: skip


async def _storm(build: str, what: str, pid: int, parts: Sequence[Nodes]) -> Storm:
    async with AsyncExitStack() as stack:
        crowds = [await stack.enter_async_context(_crowd(part)) for part in parts]
        for crowd in crowds:
            await _line(crowd)
        cpu, begin = cpu_time(pid), time.monotonic()
        for crowd in crowds:
            assert crowd.stdin is not None
            crowd.stdin.write(b"\n")
        settled = [json.loads(await _line(crowd))["settled"] for crowd in crowds]
        return Storm(build, what, max(settled) - begin, cpu_time(pid) - cpu)


@asynccontextmanager
async def _crowd(nodes: Nodes) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "benchmarks.mesh.storm_nodes")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(codec.write(nodes)).encode() + b"\n")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(crowd: Process) -> bytes:
    assert crowd.stdout is not None
    async with asyncio.timeout(_TIMEOUT):
        line = await crowd.stdout.readline()
    if not line:
        raise RuntimeError("nodes ended")
    return line


def _check(folder: Path, nodes: int, sequence: int) -> None:
    """Look into the database whether it has each node's record. Raises RuntimeError."""
    with closing(sqlite3.connect(folder / "prod" / DATABASE)) as database:
        bodies = [row[0] for row in database.execute("SELECT body FROM records WHERE kind = 'node'")]
    if len(bodies) != nodes or {json.loads(body)["sequence"] for body in bodies} != {sequence}:
        raise RuntimeError(f"the database has {len(bodies)} nodes, not {nodes} by their newest record")
