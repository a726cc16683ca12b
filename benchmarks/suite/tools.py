"""The tools that measure, run on hosts, and what the kernel says of daemons."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.suite.readings import (
    PING_TIMEOUT,
    MeasureFailed,
    Transfer,
    read_host_cpu,
    read_iperf3,
    read_ping,
    read_process_cpu,
    read_pss,
)
from tests.integration.hosts import Host, HostProcess, eventually

PATIENCE: Final = 15  # seconds that a tool may take longer than its stream
PING_INTERVAL: Final = 0.005  # seconds


def stream(sender: Host, receiver: Host, address: str, seconds: float, *options: str) -> Transfer:
    """Stream to the receiver's address with iperf3, and return what arrived. Raises MeasureFailed."""
    with serving(receiver):
        client = (*stream_client(address, seconds), *options)
        return read_iperf3(sender.attempt(*client, timeout=seconds + PATIENCE).output)


def stream_client(address: str, seconds: float) -> tuple[str, ...]:
    return ("iperf3", "--json", "--client", address, "--time", f"{seconds:.0f}")


@contextmanager
def serving(host: Host) -> Iterator[None]:
    """Serve one stream; at the end the port is free for the next."""
    server = host.start("iperf3", "--server", "--one-off")
    listening(host)
    yield
    server.wait(PATIENCE)


def listening(host: Host) -> None:
    """Wait until the server of a stream can be connected to."""
    eventually(lambda: host.run("ss", "-Hltn", "sport = :5201") != "", "iperf3 listens")


def pings(host: Host, address: str, count: int) -> list[float]:
    """Return the round trip of each ping, in seconds."""
    ping = ("ping", "-n", "-c", str(count), "-i", str(PING_INTERVAL), "-W", f"{PING_TIMEOUT:.0f}")
    done = host.attempt(*ping, address, timeout=count * PING_INTERVAL + PATIENCE)
    return read_ping(done.output, count)


def cpu(daemons: Sequence[HostProcess]) -> float:
    """Return the CPU seconds that daemons have used. Raises MeasureFailed."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(read_process_cpu(_proc(daemon, "stat"), ticks) for daemon in daemons)


def host_cpu() -> float:
    """Return the CPU seconds that all of this machine has used."""
    return read_host_cpu(Path("/proc/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def memory(daemon: HostProcess) -> float:
    """Return a daemon's PSS in MiB. Raises MeasureFailed."""
    return read_pss(_proc(daemon, "smaps_rollup"))


def _proc(daemon: HostProcess, file: str) -> str:
    try:
        return Path(f"/proc/{daemon.pid}/{file}").read_text()
    except OSError as error:
        raise MeasureFailed(f"the daemon is gone: {error}") from None
