"""The tools that measure, run on hosts, and the kernel's figures of daemons."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.suite import probe
from benchmarks.suite.ends import Daemon, End
from benchmarks.suite.readings import (
    Datagrams,
    MeasureFailed,
    Transfer,
    read_datagrams,
    read_host_cpu,
    read_iperf3,
    read_probe,
    read_process_cpu,
    read_pss,
)
from tests.integration.hosts import eventually

STARTING: Final = 0.5  # seconds that a tool takes beside its stream
TOOL_TIMEOUT: Final = 15  # seconds that a tool may take longer than its stream
AHEAD: Final = ("nice", "--adjustment=-10")  # hosts that are elsewhere wait for no processor here
PING_INTERVAL: Final = 0.002  # seconds


def stream(sender: End, receiver: End, address: str, seconds: float, *options: str) -> Transfer:
    """Stream to the receiver's address with iperf3, and return what arrived. Raises MeasureFailed."""
    return read_iperf3(iperf3(sender, receiver, address, seconds, *options))


def datagrams(
    sender: End, receiver: End, address: str, seconds: float, bitrate: float, size: int, *options: str
) -> Datagrams:
    """Send UDP datagrams of a size at bits per second, 0 for as many as possible. Raises MeasureFailed."""
    udp = ("--udp", "--bitrate", f"{bitrate:.0f}", "--length", str(size))
    return read_datagrams(iperf3(sender, receiver, address, seconds, *udp, *options))


def iperf3(client: End, server: End, address: str, seconds: float, *options: str) -> str:
    """Have iperf3 send from client to server, unless an option reverses that, and return its output."""
    with serving(server):
        command = (*stream_client(address, seconds), *options)
        return client.attempt(*command, timeout=seconds + TOOL_TIMEOUT).output


def stream_client(address: str, seconds: float) -> tuple[str, ...]:
    return ("iperf3", "--json", "--client", address, "--time", f"{seconds:.0f}")


@contextmanager
def serving(host: End) -> Iterator[None]:
    """Serve one stream; at the end the port is free for the next."""
    server = host.start("iperf3", "--server", "--one-off")
    listening(host)
    yield
    server.wait(TOOL_TIMEOUT)


def listening(host: End) -> None:
    """Wait until the server of a stream can be connected to."""
    eventually(lambda: host.run("ss", "-Hltn", "sport = :5201") != "", "iperf3 listens")


def pings(host: End, address: str, count: int) -> list[float]:
    """Return the seconds that each ping took; for a lost one, the probe's TIMEOUT. Raises MeasureFailed."""
    program = (sys.executable, "-I", "-S", str(probe.__file__), address, str(count), str(PING_INTERVAL))
    return read_probe(host.attempt(*program, timeout=count * PING_INTERVAL + TOOL_TIMEOUT).output)


def cpu(daemons: Sequence[Daemon]) -> float:
    """Return the CPU seconds that daemons have used. Raises MeasureFailed."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(read_process_cpu(_proc(daemon, "stat"), ticks) for daemon in daemons)


def cpu_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds that processes of this machine have used. Raises MeasureFailed."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(read_process_cpu(_file_of(pid, "stat"), ticks) for pid in pids)


def memory_of(pids: Iterable[int]) -> float:
    """Return the PSS of processes of this machine in MiB. Raises MeasureFailed."""
    return sum(read_pss(_file_of(pid, "smaps_rollup")) for pid in pids)


def host_cpu() -> float:
    """Return the CPU seconds that all of this machine has used."""
    return read_host_cpu(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def memory(daemon: Daemon) -> float:
    """Return a daemon's PSS in MiB. Raises MeasureFailed."""
    return read_pss(_proc(daemon, "smaps_rollup"))


def _proc(daemon: Daemon, file: str) -> str:
    with _reading():
        return daemon.proc(file)


def _file_of(pid: int, file: str) -> str:
    with _reading():
        return Path(f"/proc/{pid}/{file}").read_text()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MeasureFailed(f"the daemon is gone: {error}") from None
