"""A daemon gives way to the next one: nothing that is sent is lost, and nothing on the host changes.

The service manager of these tests does what systemd documents (servicemanager.py).
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration import servicemanager
from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import wired_pair
from tests.integration.ongoing import await_answer, nothing_lost, nothing_lost_but_for, transfer
from tests.integration.peers import Implementation, Peer, Userspace
from tests.integration.topologies import Pair, endpoint

pytestmark = pytest.mark.xdist_group("handover")

_GOES_ON = "did not hand over"
_TIMEOUT = 60.0  # seconds, for what takes two on a host that is not busy


@contextmanager
def nothing_changes(host: Host) -> Iterator[None]:
    """Watch addresses, links, routes and rules, of which none may change."""
    monitor = host.start("ip", "monitor", "link", "address", "route", "rule")
    mark(host, monitor, "203.0.113.1")
    yield
    mark(host, monitor, "203.0.113.2")
    changes = monitor.log.read_text().splitlines()
    assert [line for line in changes if "203.0.113." not in line] == []
    monitor.kill()


def mark(host: Host, monitor: HostProcess, address: str) -> None:
    """Return when the monitor has told of a route to an address: then of all that was before, too."""

    def is_told() -> bool:
        host.run("ip", "route", "replace", "unreachable", address)
        host.run("ip", "route", "delete", "unreachable", address)
        return address in monitor.log.read_text()

    eventually(is_told, "the monitor listens")


@contextmanager
def always_answering(host: Host, *command: str) -> Iterator[None]:
    """Run a command again and again, which must never fail."""
    line = " ".join(command)
    asking = host.start("sh", "-c", f"while out=$({line} 2>&1); do sleep 0.02; done; echo FAILED: $out")
    yield
    assert asking.is_running(), asking.log.read_text()
    asking.kill()


def replace(peer: Peer, *options: str) -> None:
    """Have another process take over, and return when the former one has ended."""
    former = peer.process
    assert former is not None
    peer.process = start_next(peer, *options)
    assert former.wait(_TIMEOUT).status == 0
    assert peer.process.is_running()


def start_next(peer: Peer, *options: str) -> HostProcess:
    assert isinstance(peer.implementation, Userspace)
    command = ("env", "LOG_LEVEL=debug", *peer.implementation.environment, peer.implementation.program, "-f")
    return peer.host.start(*command, "--replace", *options, peer.interface)


# -- One interface -----------------------------------------------------------------------------------


def test_nothing_is_lost(lab: Lab, daemon: Implementation, peer: Implementation) -> None:
    check_that_nothing_is_lost(Pair.build(lab, daemon, peer))


def test_nothing_is_lost_by_the_portable_data_path(lab: Lab, program: str) -> None:
    daemon = Userspace(program, ("WGPY_DATAPATH=portable",))

    check_that_nothing_is_lost(Pair.build(lab, daemon, daemon))


def check_that_nothing_is_lost(pair: Pair) -> None:
    pair.introduce()
    pair.left.ping(pair.right)
    host, other = pair.left.host, pair.right.addresses[0]
    before = pair.left.machine.run("wg", "showconf", "wg0")

    with nothing_lost(host, other), nothing_changes(host), always_answering(host, "wg", "show", "wg0"):
        replace(pair.left)
        replace(pair.left)

    assert pair.left.machine.run("wg", "showconf", "wg0") == before
    assert pair.left.traffic(pair.right).handshake > 0


def test_tcp_goes_on_both_ways(pair: Pair) -> None:
    left, right = pair.left, pair.right
    finishing = transfer(left.host, right.host, right.addresses[0])

    replace(left)
    replace(right)

    finishing()


def test_several_queues_are_taken_over(lab: Lab, program: str) -> None:
    daemon = Userspace(program, ("WGPY_WORKERS=3",))
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)

    with nothing_lost(pair.left.host, pair.right.addresses[0]):
        replace(pair.left)
        replace(pair.left)


def test_what_cannot_be_taken_over_stays_with_who_has_it(pair: Pair) -> None:
    left = pair.left
    assert isinstance(left.implementation, Userspace)
    with nothing_lost(left.host, pair.right.addresses[0]):
        refused = left.host.attempt(
            left.implementation.program, "-f", "--replace", "--datapath=portable", "wg0"
        )

    assert refused.status == 1
    assert "wg0 was opened with IFF_VNET_HDR" in refused.output
    replace(left)


def test_without_a_daemon_it_starts_as_any_other(lab: Lab, program: str) -> None:
    host = lab.host("host")

    process = host.start(program, "-f", "--replace", "wg0")

    eventually(lambda: host.attempt("wg", "show", "wg0").status == 0, "it serves")
    assert process.is_running()


# -- What goes wrong between the two -----------------------------------------------------------------


class Asker:
    """Asks a daemon to hand over, as a process of the test that can say anything."""

    def __init__(self, host: Host, interface: str = "wg0") -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(_TIMEOUT)
        self._connection.connect(str(host.path(f"/run/wireguard/.{interface}.handover")))

    def say(self, **fields: Any) -> None:
        self._connection.sendall(json.dumps(fields).encode() + b"\n")

    def hear(self) -> Any:
        data, fds, *_ = socket.recv_fds(self._connection, 1 << 16, 64)
        for fd in fds:
            os.close(fd)
        return json.loads(data) if data else None

    def hang_up(self) -> None:
        self._connection.close()


def ask_and_hang_up(host: Host, *, is_ready: bool) -> None:
    """Ask, and die before anything has changed or after."""
    asker = Asker(host)
    asker.say(version=1)
    assert asker.hear()["version"] == 1
    if is_ready:
        asker.say()
        assert "block" in asker.hear()
    asker.hang_up()


def is_told_again(process: HostProcess, before: int) -> bool:
    return process.log.read_text().count(_GOES_ON) > before


def test_who_dies_while_it_takes_over_leaves_everything_as_it_was(pair: Pair) -> None:
    left, process = pair.left, pair.left.process
    assert process is not None
    with nothing_lost(left.host, pair.right.addresses[0]) as ping:
        for is_ready in (False, True, True):
            told = process.log.read_text().count(_GOES_ON)
            ask_and_hang_up(left.host, is_ready=is_ready)
            eventually(partial(is_told_again, process, told), "it goes on")
            await_answer(ping)

    pair.left.set("fwmark", "7")
    pair.right.restart()
    eventually(lambda: left.reaches(pair.right), "there is a new session")


@pytest.mark.parametrize("is_ready", [False, True], ids=["that is asked", "that leaves its sessions"])
def test_a_daemon_ends_in_order_if_its_interface_is_deleted_meanwhile(pair: Pair, is_ready: bool) -> None:
    process = pair.left.process
    assert process is not None
    asker = Asker(pair.left.host)
    asker.say(version=1)
    asker.hear()
    if is_ready:
        asker.say()
        asker.hear()

    pair.left.machine.run("ip", "link", "delete", "wg0")
    eventually(lambda: "wg0 was deleted" in process.log.read_text(), "it sees that")
    asker.hang_up()

    assert process.wait(_TIMEOUT).status == 0, process.log.read_text()
    assert "Traceback" not in process.log.read_text()


def test_nothing_is_lost_if_the_former_process_is_killed_while_it_ends(lab: Lab, program: str) -> None:
    daemon = Userspace(program, ("WGPY_WORKERS=3",))
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    former = pair.left.process
    assert former is not None
    with nothing_lost(pair.left.host, pair.right.addresses[0]) as ping:
        following = start_next(pair.left)
        eventually(lambda: "took over from" in following.log.read_text(), "it takes over")
        await_answer(ping)  # what was under way by the former sessions has come
        with suppress(ProcessLookupError):  # on a busy host it may have ended by itself
            former.kill(signal.SIGKILL)
        former.wait(_TIMEOUT)
        await_answer(ping)


def test_sessions_are_renewed_again_if_the_next_process_is_killed_when_it_has_renewed_them(
    lab: Lab, pair: Pair, daemon: Implementation
) -> None:
    left, right = pair.left, pair.right
    deaf = add_peer(lab, left, daemon)
    assert deaf.process is not None
    with nothing_lost_but_for(left.host, right.addresses[0], seconds=5):  # else it takes 15
        deaf.process.kill(signal.SIGSTOP)  # whose answer the next process waits for
        following = start_next(left)
        renewed = f"peer {right.public_key}: new session, we began it"
        eventually(lambda: renewed in following.log.read_text(), "it has a session")
        following.kill(signal.SIGKILL)

    deaf.process.kill(signal.SIGCONT)
    replace(left)


def add_peer(lab: Lab, left: Peer, daemon: Implementation) -> Peer:
    """Give one a second peer, to which it has a session."""
    machine = daemon.machine(lab, "deaf")
    connect(left.machine, "eth1", machine, "eth0")
    add_addresses(left.machine, "eth1", "10.11.0.1/24")
    add_addresses(machine, "eth0", "10.11.0.2/24")
    peer = Peer(daemon, machine, ("10.21.0.1/32", "fd21::1/128"))
    peer.up()
    left.introduce(peer, endpoint("10.11.0.2"))
    peer.introduce(left)
    left.machine.run("ip", "route", "add", "10.21.0.1", "dev", "wg0")
    peer.machine.run("ip", "route", "add", left.addresses[0], "dev", "wg0")
    left.ping(peer)
    return peer


def test_another_version_is_told_so_and_may_have_the_daemon_end(pair: Pair) -> None:
    process = pair.left.process
    assert process is not None
    asker = Asker(pair.left.host)

    asker.say(version=2)

    assert asker.hear() == {"version": 1}
    asker.say(end=True)
    assert process.wait(_TIMEOUT).status == 0
    asker.hang_up()


# -- A node, with a service manager ------------------------------------------------------------------


class Service:
    """A node's daemon, as its unit has it."""

    def __init__(self, node: Node) -> None:
        command = (program("wgpyd"), "--mesh", NETWORK)
        script = str(Path(servicemanager.__file__))
        self.node = node
        self.manager = node.host.start(
            sys.executable, script, *command, "--foreground", "--", *command, "--replace"
        )
        self.await_lines("ready", 1)

    def daemons(self) -> list[int]:
        """Return the processes that are the node, by their ids outside."""
        return [pid for pid in self.node.agents() if pid != self.manager.pid]

    def await_lines(self, what: str, count: int) -> None:
        eventually(lambda: self.lines(what) >= count, f"{count} times {what}")

    def lines(self, what: str) -> int:
        return sum(line.startswith(what) for line in self.manager.log.read_text().splitlines())


@pytest.fixture(scope="module")
def service(module_lab: Lab) -> Service:
    hub, web = wired_pair(module_lab)
    for node in (hub, web):
        node.host.run("ip", "route", "add", "default", "dev", "eth0")
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", "hub")
    web.join(hub.token())
    web.kill()
    service = Service(web)
    eventually(lambda: web.reaches(hub), "it is reached")
    return service


def hub_address(service: Service) -> str:
    (peer,) = service.node.status().peers
    return str(peer.address)


def test_a_reload_replaces_a_node_without_a_break(service: Service) -> None:
    host, ended, ready = service.node.host, service.lines("ended"), service.lines("ready")
    status = (program("wgpy"), "mesh", "status")

    with nothing_lost(host, hub_address(service)), nothing_changes(host), always_answering(host, *status):
        service.manager.kill(signal.SIGHUP)
        service.await_lines("ready", ready + 1)
        service.await_lines("ended", ended + 2)  # the command, and the former daemon

    assert len(service.daemons()) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "restarted"])
def test_the_interface_of_a_node_has_a_carrier_while_its_daemon_is_away(
    service: Service, number: signal.Signals
) -> None:
    host, ready = service.node.host, service.lines("ready")
    ping = host.start("ping", "-n", "-i", "0.02", hub_address(service))
    await_answer(ping)

    with nothing_changes(host):
        (pid,) = service.daemons()
        os.kill(pid, number)
        service.await_lines("ready", ready + 1)
        await_answer(ping)

    ping.kill()
