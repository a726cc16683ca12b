"""One real coordinator, and many nodes that subscribe to it by TLS on this host."""

import asyncio
import json
import os
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.mesh.clients import Clients
from benchmarks.mesh.network import Model, make
from wgpy.mesh import codec
from wgpy.mesh.signing import Signed
from wgpy.mesh.wire import Delta
from wgpy.node.coordinator_client import Address, Coordinator

_PROCESSES = 2  # of clients
WGMESH = (sys.executable, "-m", "wgmesh.main")
_AT_ONCE = 20  # records of a submission
_FOLLOW_TIMEOUT = 300.0  # seconds, for anything


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delays of one change, in seconds since its submission; cpu: seconds of the coordinator."""

    stored: float
    median: float
    last: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Followed:
    """joined: seconds in which all joined; idle, busy: PSS in bytes, without followers and with all."""

    followers: int
    joined: float
    idle: int
    busy: int
    deliveries: tuple[Delivery, ...]


async def follow(nodes: int, changes: int) -> Followed:
    """Subscribe so many nodes to a coordinator, and measure several changes."""
    model = make(nodes, grouped=False)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wgmesh-")))
        process, address = await stack.enter_async_context(coordinator(folder, model))
        begin = time.monotonic()
        await submit(address, model, model.records)
        joined, idle = time.monotonic() - begin, memory(process.pid)
        since = await revision_of(address, model)
        crowds = [
            await stack.enter_async_context(_crowd(clients)) for clients in _divided(address, model, since)
        ]
        for crowd in crowds:
            await _hear(crowd)
        deliveries = [
            await _deliver(process.pid, address, model, model.move(number), crowds)
            for number in range(changes)
        ]
        return Followed(nodes, joined, idle, memory(process.pid), tuple(deliveries))


# -- The coordinator -------------------------------------------------------------------------------


@asynccontextmanager
async def coordinator(
    folder: Path, model: Model, command: Sequence[str] = WGMESH
) -> AsyncIterator[tuple[Process, Address]]:
    """Serve a network, which is created if it is not there. command: of wgmesh."""
    made, home = folder / "made", folder / "prod"
    if not made.exists():
        where = f"127.0.0.1:{_free_port()}"
        create = ("create", str(home), str(model.key.verify_key()), "--public", where, "--listen", where)
        creating = await asyncio.create_subprocess_exec(*command, *create, stdout=PIPE)
        made.write_bytes((await creating.communicate())[0])
    created = json.loads(made.read_bytes())
    process = await asyncio.create_subprocess_exec(*command, "serve", str(home), stderr=PIPE)
    try:
        assert process.stderr is not None
        while b"serving" not in (line := await process.stderr.readline()):
            if not line:
                raise RuntimeError("the coordinator does not start")
        logging = asyncio.create_task(_drain(process.stderr))
        yield process, Address(created["url"], bytes.fromhex(created["key_hash"]))
        logging.cancel()
    finally:
        process.terminate()
        await process.wait()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.readline():
        pass


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


async def submit(address: Address, model: Model, records: Sequence[Signed]) -> None:
    async with Coordinator(address, model.key.verify_key()) as coordinator:
        for start in range(0, len(records), _AT_ONCE):
            for outcome in await coordinator.submit(records[start : start + _AT_ONCE]):
                if outcome.verdict != "new":
                    raise RuntimeError(f"the coordinator says {outcome.verdict}: {outcome.reason}")


async def revision_of(address: Address, model: Model) -> int:
    """Return the coordinator's revision."""
    async with Coordinator(address, model.key.verify_key(), model.identities[0]) as coordinator:
        async for line in coordinator.follow(0):
            if isinstance(line, Delta) and line.revision:
                return line.revision
    raise RuntimeError("the coordinator ended the connection")


# -- Followers -------------------------------------------------------------------------------------


def _divided(address: Address, model: Model, since: int) -> list[Clients]:
    network = model.key.verify_key()
    parts = [tuple(model.identities[number::_PROCESSES]) for number in range(_PROCESSES)]
    return [Clients(address.url, address.key_hash, network, part, since) for part in parts]


@asynccontextmanager
async def _crowd(clients: Clients) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.mesh.clients", stdin=PIPE, stdout=PIPE, limit=1 << 24
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(codec.write(clients)).encode())
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def _hear(crowd: Process) -> dict[str, Any]:
    """Return the next line of clients."""
    assert crowd.stdout is not None
    async with asyncio.timeout(_FOLLOW_TIMEOUT):
        line = await crowd.stdout.readline()
    if not line:
        raise RuntimeError("clients ended")
    return dict(json.loads(line))


async def _deliver(
    pid: int, address: Address, model: Model, signed: Signed, crowds: Sequence[Process]
) -> Delivery:
    """Submit a change and wait until all nodes have received it."""
    cpu, begin = cpu_time(pid), time.monotonic()
    await submit(address, model, [signed])
    stored = time.monotonic() - begin
    reports = [await _hear(crowd) for crowd in crowds]
    delays = [at - begin for report in reports for at in report["received"]]
    return Delivery(stored, median(delays), max(delays), cpu_time(pid) - cpu)


# -- What it takes ---------------------------------------------------------------------------------


def memory(pid: int) -> int:
    """Return the proportional set size of a process in bytes. proc(5)"""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def cpu_time(pid: int) -> float:
    """Return seconds of CPU. proc(5)"""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
