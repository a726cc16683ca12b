"""What a proxy into a tunnel carries without root, how many connections a second, and what an idle one costs.

See `benchmarks.rows.proxies` for the hosts, and `load.c` for the clients and the server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.compiler import BuildFailed, build
from benchmarks.rows.proxies import SERVER, Served, serve
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, TOOL_TIMEOUT, cpu_of, memory_of
from benchmarks.suite.values import Kind, Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import HostProcess, eventually

HELD: Final = 1_000  # connections
THREADS: Final = 8  # of clients that connect
_LOAD: Final = Path(__file__).with_name("load.c")
_HOLDING: Final = 60.0  # seconds, until all are open


@dataclass(frozen=True, slots=True)
class Loaded:
    """A proxy with a server behind it. load: the program of both."""

    served: Served
    load: str

    def gigabits(self, way: str, seconds: float) -> float:
        """Return the rate of one stream, there or back. Raises MeasureFailed."""
        (size,) = self._run(self.served.way, seconds, way, f"{seconds:.0f}")
        if not size:
            raise MeasureFailed(f"of the stream {way}, nothing has arrived")
        return size * 8 / seconds / 1e9

    def connections(self, way: tuple[str, str], seconds: float) -> float:
        """Return how many a second. way: of `Served`. Raises MeasureFailed, also where one of 100 fails."""
        made, failed = self._run(way, seconds, "connect", f"{seconds:.0f}", str(THREADS))
        if failed * 100 > made:
            raise MeasureFailed(f"{failed} of {made + failed} connections failed")
        return made / seconds

    def hold(self) -> HostProcess:
        """Open many connections, and have them stay open. Raises MeasureFailed."""
        holding = self.served.left.start(self.load, *self.served.way, "hold", str(HELD))
        eventually(lambda: holding.log.read_text() != "", "the connections are open", _HOLDING)
        if (said := holding.log.read_text().strip()) != "held":
            raise MeasureFailed(said)
        return holding

    def memory(self) -> float:
        """Return the PSS of all processes of the proxy, in KiB. Raises MeasureFailed."""
        return memory_of(_with_children(self.served.proxy.pid)) * 1024

    def cpu(self) -> float:
        """Return the CPU seconds that all processes of the proxy have used."""
        return cpu_of(_with_children(self.served.proxy.pid))

    def _run(self, way: tuple[str, str], seconds: float, *wish: str) -> list[int]:
        done = self.served.left.attempt(self.load, *way, *wish, timeout=seconds + 3 * TOOL_TIMEOUT)
        if done.status != 0:
            raise MeasureFailed(done.output.strip())
        return [int(word) for word in done.output.split()]


def _with_children(pid: int) -> Sequence[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *(one for child in children for one in _with_children(int(child))))


def _loaded(turn: Turn) -> Loaded:
    served = serve(turn)
    load = turn.programs / "load"
    try:
        if not load.exists():
            build(load, [_LOAD], "-pthread")
    except BuildFailed as error:
        raise MeasureFailed(str(error)) from None
    served.right.start(str(load), "serve", str(SERVER))
    eventually(lambda: served.right.run("ss", "-Hltn", f"sport = :{SERVER}") != "", "the server listens")
    return Loaded(served, str(load))


def _carried(loaded: Loaded, seconds: float) -> Samples:
    samples: Samples = {}
    for way in ("there", "back"):
        before = loaded.cpu()
        samples[f"proxy_{way}"] = rate = loaded.gigabits(way, seconds)
        samples[f"proxy_{way}_cpu"] = (loaded.cpu() - before) / (rate * seconds / 8)
    ways = {"connections": loaded.served.way, "forwarded": loaded.served.forward}
    for name, to in ways.items():
        if to:
            before = loaded.cpu()
            samples[f"proxy_{name}"] = rate = loaded.connections(to, seconds)
            samples[f"proxy_{name}_cpu"] = (loaded.cpu() - before) / (rate * seconds) * 1e3
    return samples


def _held(loaded: Loaded, seconds: float) -> Samples:
    before = loaded.memory()
    holding = loaded.hold()
    after = loaded.memory()
    samples = {
        "proxy_memory": (after - before) / HELD,
        "proxy_held_there": loaded.gigabits("there", seconds),
        "proxy_held_back": loaded.gigabits("back", seconds),
    }
    holding.kill()
    holding.wait()
    return samples


def _row(
    name: str,
    title: str,
    measures: Sequence[Measure],
    measure: Callable[[Loaded, float], Samples],
    streams: int,
    seconds: float,
) -> Row[Loaded]:
    return Row(
        name, title, tuple(measures), measure, Plan.FULL, streams=streams, seconds=seconds, kind=Kind.PROXY
    )


PROXY: Final = Setting(
    "proxy",
    _loaded,
    (
        _row(
            "proxy",
            "TCP by a proxy",
            (
                Measure.more("proxy_there", "TCP by a proxy"),
                Measure.less("proxy_there_cpu", "CPU of the proxy, TCP there", "s/GB"),
                Measure.more("proxy_back", "TCP back by a proxy"),
                Measure.less("proxy_back_cpu", "CPU of the proxy, TCP back", "s/GB"),
                Measure.more("proxy_connections", "connections by a proxy", unit="/s"),
                Measure.less("proxy_connections_cpu", "CPU of the proxy, a connection", "ms"),
                Measure.more("proxy_forwarded", "connections by a port that leads there", unit="/s"),
                Measure.less("proxy_forwarded_cpu", "CPU of the proxy, a connection by a port", "ms"),
            ),
            _carried, 4, 4 * STARTING,
        ),
        _row(
            "proxyheld",
            f"a proxy with {HELD:,} open connections",
            (
                Measure.less("proxy_memory", f"memory of an open connection, of {HELD:,}", "KiB"),
                Measure.more("proxy_held_there", f"TCP by a proxy with {HELD:,} open connections"),
                Measure.more("proxy_held_back", f"TCP back by a proxy with {HELD:,} open connections"),
            ),
            _held, 2, 5,
        ),
    ),
    seconds=6,
)  # fmt: skip
