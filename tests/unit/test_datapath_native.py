"""The C data path as Python sees it: values, errors, its life. What it does is in tests/datapath."""

import ctypes
import platform
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from time import monotonic

import pytest

from tests.datapath.kinds import prefix
from tests.datapath.packets import ipv4
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REMOTE_HOST, Remote
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.contract.events import KeyNeeded, PeerActivity
from wgpy.contract.orders import (
    AddPeer,
    AllowedIP,
    InstallKeypair,
    RemovePeer,
    SetCookieSecret,
    SetEndpoint,
    SetMac1Key,
    SetRoute,
)
from wgpy.datapath import native
from wgpy.datapath.native import NativeDataPath
from wgpy.datapath.native_values import Queue, pack_endpoint, unpack_endpoint

pytestmark = pytest.mark.skipif(not native.available(), reason="the C data path is not built")

lib = pytest.importorskip("wgpy._fastpath").lib
SOURCES = Path(native.__file__).parents[1] / "fastpath"
PEER = 2**40  # of the engine's numbers there is no end
TIMEOUT = 10.0  # seconds
NO_SOCKETS = Queue(-1, -1, -1)


class Tun:
    """A socketpair for a TUN: the data path has one end."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setblocking(False)

    def queue(self) -> Queue:
        return Queue(self.theirs.fileno(), -1, -1)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def tun() -> Iterator[Tun]:
    tun = Tun()
    yield tun
    tun.close()


@pytest.fixture
def path(tun: Tun) -> Iterator[NativeDataPath]:
    path = NativeDataPath([tun.queue()])
    yield path
    path.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("192.0.2.1", 51820),
        Endpoint("192.0.2.1", 65535, 0, "198.51.100.7", 3),
        Endpoint("2001:db8::1", 1),
        Endpoint("fe80::1", 0, 7, "fe80::2", 2**31),
    ],
)
def test_an_endpoint_comes_back_from_its_form_in_c(endpoint: Endpoint) -> None:
    assert unpack_endpoint(pack_endpoint(endpoint)) == endpoint


def test_every_reason_of_c_is_a_reason_of_the_engine_and_nothing_is_dropped_yet(path: NativeDataPath) -> None:
    counters = path.counters()

    assert DropReason.INVALID_SUPERPACKET in counters
    assert not any(counters.values())
    assert counters[DropReason.UNKNOWN_PEER] == 0


def test_a_library_that_was_built_from_other_headers_is_refused(tmp_path: Path) -> None:
    for name in ("errors.h", "wgfp.h"):
        copyfile(SOURCES / name, tmp_path / name)
    native.check_headers(lib.WGFP_HEADERS, str(tmp_path))

    with (tmp_path / "wgfp.h").open("a") as header:
        header.write("int wgfp_new(void);\n")

    with pytest.raises(ImportError, match="built from other sources: run `pip install -e .` again"):
        native.check_headers(lib.WGFP_HEADERS, str(tmp_path))


def test_where_the_sources_are_not_installed_the_library_is_taken_as_it_is(tmp_path: Path) -> None:
    native.check_headers(lib.WGFP_HEADERS, f"{tmp_path}/fastpath")


def test_a_peer_has_the_engines_number_whatever_c_calls_it(path: NativeDataPath, tun: Tun) -> None:
    for peer in (PEER, PEER + 1):
        path.apply(AddPeer(peer), NOW)
    path.apply(SetEndpoint(PEER + 1, HOME), NOW)
    path.apply(SetRoute(PEER + 1, prefix(REMOTE_HOST)), NOW)
    tun.ours.send(ipv4(LOCAL_HOST, REMOTE_HOST, b"payload"))
    path.step()

    assert path.take_events() == [KeyNeeded(PEER + 1)]
    assert path.take_events() == []


def test_a_removed_peer_is_unknown_and_raises_no_event(path: NativeDataPath, tun: Tun) -> None:
    path.apply(AddPeer(PEER), NOW)
    path.apply(SetEndpoint(PEER, HOME), NOW)
    path.apply(SetRoute(PEER, prefix(REMOTE_HOST)), NOW)
    tun.ours.send(ipv4(LOCAL_HOST, REMOTE_HOST, b"payload"))
    path.step()
    path.apply(RemovePeer(PEER), NOW)

    assert path.take_events() == []
    with pytest.raises(KeyError):
        path.activity(PEER)
    with pytest.raises(StateError, match="AddPeer comes first"):
        path.apply(SetEndpoint(PEER, HOME), NOW)


def test_activity_begins_with_zeros(path: NativeDataPath) -> None:
    path.apply(AddPeer(PEER), NOW)

    assert path.activity(PEER) == PeerActivity()


@pytest.mark.parametrize(
    "wrong",
    [
        AllowedIP._make((bytes(5), 8)),
        AllowedIP._make((bytes(4), 33)),
        AllowedIP._make((bytes(16), 129)),
        AllowedIP._make((bytes(4), -1)),
        AllowedIP._make((b"\x0a\0\0\x01", 24)),
    ],
)
def test_what_is_no_prefix_is_refused(path: NativeDataPath, wrong: AllowedIP) -> None:
    path.apply(AddPeer(PEER), NOW)

    with pytest.raises(ValueError, match="no prefix"):
        path.apply(SetRoute(PEER, wrong), NOW)


def test_a_key_of_another_length_is_refused(path: NativeDataPath) -> None:
    path.apply(AddPeer(PEER), NOW)
    short = InstallKeypair(PEER, 1, 2, b"short", bytes(32), NOW + 1, None, None)

    for order in (short, SetMac1Key(b"short"), SetCookieSecret(b"short")):
        with pytest.raises(ValueError, match="a key is 32 bytes"):
            path.apply(order, NOW)


def test_a_keypair_of_a_removed_peer_can_be_installed_again(path: NativeDataPath) -> None:
    remote = Remote()
    for peer in (PEER, PEER + 1):
        path.apply(AddPeer(peer), NOW)
        path.apply(remote.keypair(peer), NOW)
        with pytest.raises(StateError, match="there already"):
            path.apply(remote.keypair(peer), NOW)
        path.apply(RemovePeer(peer), NOW)


def test_guard_and_cookie_secret_can_be_set_and_taken_away(path: NativeDataPath) -> None:
    for order in (SetMac1Key(bytes(32)), SetCookieSecret(bytes(32)), SetMac1Key(None)):
        path.apply(order, NOW)

    assert path.next_handshake() is None
    assert path.handshakes_waiting == 0


@pytest.mark.parametrize("queues", [0, 17])
def test_an_impossible_number_of_queues_is_refused(queues: int) -> None:
    with pytest.raises(ValueError, match="settings"):
        NativeDataPath([NO_SOCKETS] * queues)


def test_sockets_are_wanted_for_each_queue(path: NativeDataPath) -> None:
    with pytest.raises(ValueError, match="for 1 queues, not 2"):
        path.set_sockets([NO_SOCKETS] * 2)


def test_its_descriptor_is_readable_when_a_thread_has_news(path: NativeDataPath, tun: Tun) -> None:
    path.apply(AddPeer(PEER), NOW)
    path.apply(SetEndpoint(PEER, HOME), NOW)
    path.apply(SetRoute(PEER, prefix(REMOTE_HOST)), NOW)
    path.acknowledge()
    path.start()
    tun.ours.send(ipv4(LOCAL_HOST, REMOTE_HOST, b"payload"))

    assert select.select([path], [], [], TIMEOUT)[0]
    path.acknowledge()
    assert path.take_events() == [KeyNeeded(PEER)]
    assert not select.select([path], [], [], 0)[0]


def test_a_tun_that_is_gone_is_a_failure(path: NativeDataPath, tun: Tun) -> None:
    assert path.failure() == 0
    path.start()
    tun.ours.close()

    assert select.select([path], [], [], TIMEOUT)[0]
    assert path.failure() != 0


def test_it_can_be_stopped_and_closed_again_and_again(path: NativeDataPath) -> None:
    path.start()
    path.stop()
    path.start()
    path.close()
    path.close()


def test_its_threads_ask_for_the_shortest_slices(path: NativeDataPath) -> None:
    if _slice_of(threading.get_native_id()) == 0:
        pytest.skip("this kernel, before Linux 6.12, gives slices to nobody")
    path.start()
    until = monotonic() + TIMEOUT
    slices: list[int] = []
    while slices != [100_000, 100_000] and monotonic() < until:
        tasks = [task for task in Path("/proc/self/task").iterdir() if _is_worker(task)]
        slices = [_slice_of(int(task.name)) for task in tasks]

    assert slices == [100_000, 100_000]


def _is_worker(task: Path) -> bool:
    return (task / "comm").read_text().startswith("wgpy-")


def _slice_of(thread: int) -> int:
    """Nanoseconds, of its sched_attr. sched_setattr(2)"""
    number = {"x86_64": 315, "aarch64": 275}.get(platform.machine())
    if number is None:
        pytest.skip("the number of sched_getattr on this processor is not known here")
    attributes = ctypes.create_string_buffer(48)
    libc = ctypes.CDLL(None)
    assert libc.syscall(number, thread, attributes, len(attributes), 0) == 0
    return int(struct.unpack_from("=Q", attributes, 24)[0])
