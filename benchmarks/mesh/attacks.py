"""What attacks by clients without a key cost a coordinator, and how long an honest change takes meanwhile."""

import asyncio
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.mesh.attackers import ATTACKS
from benchmarks.mesh.followers import coordinator, cpu_time, memory, submit
from benchmarks.mesh.network import Model, make
from wgpy.node.coordinator_client import Address, CoordinatorError

HEADS: Final = (
    "Attack", "Attacker's CPU", "Coordinator's CPU", "Memory", "Descriptors", "Removal", "Without", "Longest",
)  # fmt: skip
_PAUSE: Final = 0.3  # seconds between removals


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    nodes: of the network; warm_up: seconds of an attack before its measurement, as the first allowance is
    used at its beginning; removals: before the attack, and during it.
    """

    nodes: int = 300
    warm_up: float = 10.0
    removals: int = 9


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attack costs.

    attacker, coordinator: seconds of CPU a second; memory: PSS in bytes, and descriptors: their highest;
    usual, delays: of removals without the attack and during it, in seconds from the connection to the
    acknowledgement, infinity for one that failed.
    """

    attack: str
    attacker: float
    coordinator: float
    memory: int
    descriptors: int
    usual: tuple[float, ...]
    delays: tuple[float, ...]


async def costs(names: list[str], extent: Extent) -> AsyncIterator[Cost]:
    """Yield the cost of each attack in turn. names: of attacks, none for all."""
    for name in names or ATTACKS:
        model = make(extent.nodes, grouped=False)
        with TemporaryDirectory(prefix="wgmesh-") as folder:
            async with coordinator(Path(folder), model) as (process, address):
                await submit(address, model, model.records)
                usual = tuple([await _remove(address, model, number) for number in range(extent.removals)])
                async with _attacker(name, address, model) as attacker:
                    await asyncio.sleep(extent.warm_up)
                    if attacker.returncode is not None:
                        raise RuntimeError(f"the attack ended: {name}")
                    yield await _measure(name, process.pid, attacker, usual, address, model)


@asynccontextmanager
async def _attacker(name: str, address: Address, model: Model) -> AsyncIterator[Process]:
    port = address.url.rpartition(":")[2]
    command = (sys.executable, "-m", "benchmarks.mesh.attackers", name, port, str(model.key.verify_key()))
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _measure(
    name: str, pid: int, attacker: Process, usual: tuple[float, ...], address: Address, model: Model
) -> Cost:
    begin, cpu, spent = time.monotonic(), cpu_time(pid), cpu_time(attacker.pid)
    delays, peaks = [], [(memory(pid), _descriptors(pid))]
    for number in range(len(usual), 2 * len(usual)):
        delays.append(await _remove(address, model, number))
        peaks.append((memory(pid), _descriptors(pid)))
        await asyncio.sleep(_PAUSE)
    seconds = time.monotonic() - begin
    return Cost(
        name,
        (cpu_time(attacker.pid) - spent) / seconds,
        (cpu_time(pid) - cpu) / seconds,
        max(size for size, _ in peaks),
        max(count for _, count in peaks),
        usual,
        tuple(delays),
    )


async def _remove(address: Address, model: Model, number: int) -> float:
    begin = time.monotonic()
    try:
        await submit(address, model, [model.remove(number)])
    except CoordinatorError:
        return float("inf")
    return time.monotonic() - begin


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
