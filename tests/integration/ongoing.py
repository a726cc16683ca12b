"""What goes on while something is done to a tunnel: pings, and a transfer by TCP."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.integration.hosts import HostProcess, eventually

_INTERVAL = 0.02  # seconds between pings


class Network(Protocol):
    """Where commands are started: a host, or the network of a pod."""

    def start(self, *command: str) -> HostProcess: ...


@contextmanager
def nothing_lost(source: Network, to: str) -> Iterator[HostProcess]:
    """Ping all the time, and check that each is answered up to the last that was."""
    with nothing_lost_but_for(source, to, seconds=0) as ping:
        yield ping


@contextmanager
def nothing_lost_but_for(source: Network, to: str, *, seconds: float) -> Iterator[HostProcess]:
    """Ping all the time, and check that of those up to the last answered one no more are lost than that."""
    ping = source.start("ping", "-n", "-i", str(_INTERVAL), to)
    await_answer(ping)
    yield ping
    await_answer(ping)
    ping.kill(signal.SIGINT)
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+)", ping.wait().output)}
    lost = {*range(1, max(answered) + 1)} - answered
    assert len(lost) <= seconds / _INTERVAL, sorted(lost)


def await_answer(ping: HostProcess) -> None:
    """Wait for two more answers: the second one is to what was sent after this was called."""
    before = answers(ping)
    eventually(lambda: answers(ping) >= before + 2, "pings are answered")


def answers(ping: HostProcess) -> int:
    return ping.log.read_text().count("icmp_seq=")


def transfer(source: Network, target: Network, address: str, *options: str) -> Callable[[], None]:
    """Begin a TCP transfer with iperf3; what is returned waits until data arrives again, and ends it."""
    server = target.start("iperf3", "-s", "-1", "-B", address, "-i", "0.5", "--forceflush")
    eventually(lambda: "listening" in server.log.read_text(), "iperf3 listens")
    client = source.start("iperf3", "-c", address, "-t", "600", *options)
    eventually(lambda: _arrivals(server) >= 1, "data arrives")

    def finish() -> None:
        before = _arrivals(server)
        eventually(lambda: _arrivals(server) >= before + 2, "data arrives")
        assert client.is_running(), client.log.read_text()
        client.kill()

    return finish


def _arrivals(server: HostProcess) -> int:
    """Count the half seconds in which iperf3 has received something."""
    lines = [line for line in server.log.read_text().splitlines() if line.rstrip().endswith("bits/sec")]
    return sum(" 0.00 Bytes " not in line for line in lines)
