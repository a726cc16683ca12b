"""What goes wrong while traffic flows: paths that are too narrow, a TUN that changes, a daemon that dies.

Topology: topologies.Pair.
"""

import signal
from pathlib import Path

import pytest

from tests.integration.exchange import (
    TRAFFIC,
    assert_tcp_arrives_whole,
    assert_udp_comes_back,
    fragments_made,
)
from tests.integration.hosts import HostProcess, Lab, add_addresses, eventually, hand_over
from tests.integration.peers import MTU, Implementation, Peer, Userspace
from tests.integration.topologies import LEFT_INSIDE, Pair, endpoint

_TCP_BYTES = 4 << 20
_LONG_TCP_BYTES = 300 << 20
_LOAD_TCP_BYTES = 40 << 20
_NARROW = 1300
_MEMORY, _SMALL_MEMORY = 40 << 10, 32 << 10  # KiB, after load


def _flow(pair: Pair) -> tuple[HostProcess, HostProcess]:
    """Begin a long TCP transfer from left to right: who sends and who receives."""
    address = pair.right.addresses[0]
    sink = pair.right.host.start(*TRAFFIC, "tcp-sink", address, "5003")
    before = pair.right.traffic(pair.left).received
    source = pair.left.host.start(*TRAFFIC, "tcp-send", address, "5003", str(_LONG_TCP_BYTES))
    eventually(lambda: pair.right.traffic(pair.left).received > before + (1 << 20), "it flows")
    return source, sink


def _assert_flowed_whole(source: HostProcess, sink: HostProcess) -> None:
    sent, received = source.wait(60), sink.wait(60)
    assert (sent.status, received.status) == (0, 0)
    assert sent.output == received.output


@pytest.mark.parametrize(("narrow", "outside"), [("route", 4), ("route", 6), ("card", 4)])
def test_where_the_path_is_narrow_datagrams_are_fragmented_and_all_arrives(
    lab: Lab, daemon: Implementation, narrow: str, outside: int
) -> None:
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce(outside)
    pair.left.ping(pair.right)
    nearer = "10.10.0.0/25" if outside == 4 else "fd10::/65"
    for machine in pair.left.machine, pair.right.machine:
        if narrow == "card":
            machine.run("ip", "link", "set", "eth0", "mtu", str(_NARROW))
        else:
            machine.run("ip", "route", "add", nearer, "dev", "eth0", "mtu", "lock", str(_NARROW))

    left, right = pair.left, pair.right
    for family in (0, 1):
        address = right.addresses[family]
        assert_tcp_arrives_whole(left.machine, right.machine, address, _TCP_BYTES)
        assert_udp_comes_back(left.machine, right.machine, address, [0, 1000, 1372, 8000])

    assert fragments_made(left.machine) > 0


def test_the_mtu_of_the_tun_changes_under_a_flow(pair: Pair) -> None:
    flow = _flow(pair)

    for mtu in 1280, 576, 9000, MTU:
        assert flow[0].is_running()
        pair.left.machine.run("ip", "link", "set", "wg0", "mtu", str(mtu))

    _assert_flowed_whole(*flow)


def test_the_daemon_ends_when_the_tun_is_deleted_under_a_flow(pair: Pair) -> None:
    source, _ = _flow(pair)
    process = pair.left.process
    assert process is not None

    assert source.is_running()
    pair.left.machine.run("ip", "link", "delete", "wg0")

    assert process.wait(5).status == 0
    _assert_it_starts_again(pair)


def test_a_daemon_killed_under_a_flow_hinders_no_new_one(pair: Pair) -> None:
    source, _ = _flow(pair)
    process = pair.left.process
    assert process is not None

    assert source.is_running()
    process.kill(signal.SIGKILL)
    process.wait(5)

    _assert_it_starts_again(pair)


def _assert_it_starts_again(pair: Pair) -> None:
    pair.left.up()
    pair.left.introduce(pair.right, endpoint("10.10.0.2"))
    pair.left.ping(pair.right)
    assert_tcp_arrives_whole(pair.left.machine, pair.right.machine, pair.right.addresses[0], _TCP_BYTES)


def test_a_tun_moved_under_a_flow_works_where_it_came_to(
    lab: Lab, daemon: Implementation, pair: Pair
) -> None:
    cell = lab.host("cell")
    source, _ = _flow(pair)

    assert source.is_running()
    hand_over("wg0", pair.left.host, cell)
    add_addresses(cell, "wg0", *LEFT_INSIDE)
    cell.run("ip", "link", "set", "wg0", "up")

    Peer(daemon, cell, LEFT_INSIDE).ping(pair.right)
    for family in (0, 1):
        assert_tcp_arrives_whole(cell, pair.right.machine, pair.right.addresses[family], _TCP_BYTES)


@pytest.mark.parametrize(("memory", "most"), [("normal", _MEMORY), ("small", _SMALL_MEMORY)])
def test_memory_stays_within_bounds_under_load(
    lab: Lab, program: str, wireguard_go: Implementation, memory: str, most: int
) -> None:
    pair = Pair.build(lab, Userspace(program, (f"WGPY_MEMORY={memory}",)), wireguard_go)
    pair.introduce()
    left, right = pair.left, pair.right
    assert left.process is not None

    for one, other in (left, right), (right, left):
        assert_tcp_arrives_whole(one.machine, other.machine, other.addresses[0], _LOAD_TCP_BYTES)
        assert_udp_comes_back(one.machine, other.machine, other.addresses[0], [8000] * 100)

    rollup = Path(f"/proc/{left.process.pid}/smaps_rollup").read_text()
    [pss] = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    print(f"{memory}: {pss} KiB")
    assert pss < most
