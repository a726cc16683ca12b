"""Endpoints by name: when a name is looked up again, and which address is tried."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import wgpy
from wgpy.address import HostPort
from wgpy.config import Config, PeerConfig
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent
from wgpy.driver.settings import read_settings
from wgpy.endpoint_names import names_of, read_names, write_names
from wgpy.host.tun import PacketSocket
from wgpy.model import DeviceUpdate, PeerPath, PeerTraffic, PeerUpdate
from wgpy.tunnel import endpoints, names
from wgpy.tunnel.errors import TunnelError
from wgpy.tunnel.names import NameFollower, choose, first_meaning, is_silent

TIMEOUT = 60.0  # seconds
NAME = HostPort("peer.example.test", 51820)
ONE, OTHER, MOVED = (Endpoint(f"192.0.2.{number}", 51820) for number in (1, 2, 3))
_PORTABLE = read_settings({"WGPY_DATAPATH": "portable"})


@pytest.mark.parametrize(
    ("found", "before", "present", "is_silent", "chosen"),
    [
        ([ONE], [ONE], ONE, False, None),
        ([ONE], [ONE], ONE, True, None),
        ([ONE, OTHER], [ONE, OTHER], ONE, False, None),
        ([OTHER, ONE], [ONE, OTHER], ONE, False, None),
        ([ONE, OTHER], [ONE, OTHER], ONE, True, OTHER),
        ([ONE, OTHER], [ONE, OTHER], OTHER, True, ONE),
        ([ONE], [ONE], MOVED, False, None),
        ([ONE], [ONE], MOVED, True, ONE),
        ([OTHER], [ONE], ONE, False, OTHER),
        ([OTHER], [ONE], MOVED, False, OTHER),
        ([OTHER], [ONE], None, False, OTHER),
        ([OTHER, ONE], [], MOVED, False, None),
        ([OTHER, ONE], [], MOVED, True, OTHER),
    ],
    ids=[
        "as before", "silent, and nothing else to try", "answers", "in another order", "silent, of two",
        "silent, of two, again", "moved by itself", "moved by itself, and silent", "the name moved",
        "both moved", "no endpoint", "nothing known", "nothing known, and silent",
    ],
)  # fmt: skip
def test_an_endpoint_changes_with_its_name_or_where_the_peer_is_silent(
    found: Sequence[Endpoint],
    before: Sequence[Endpoint],
    present: Endpoint | None,
    is_silent: bool,
    chosen: Endpoint | None,
) -> None:
    assert choose(found, before, present, is_silent=is_silent) == chosen


@pytest.mark.parametrize(
    ("path", "meaning"),
    [(PeerPath(ONE), (ONE,)), (PeerPath(ONE, 1), ()), (PeerPath(), ())],
    ids=["never answered", "may have moved", "no endpoint"],
)
def test_the_endpoint_of_a_peer_that_has_never_answered_is_what_its_name_means(
    path: PeerPath, meaning: Sequence[Endpoint]
) -> None:
    assert first_meaning(path) == meaning


@pytest.mark.parametrize(
    ("unanswered", "handshake", "silent"),
    [(0, 0, False), (0, 1, False), (1, 0, True), (1, 1, False), (15, 1, True)],
    ids=["asked nothing", "answered", "never answered", "may answer yet", "answers no more"],
)
def test_a_peer_is_silent_if_it_leaves_something_unanswered_for_longer_than_it_may(
    unanswered: int, handshake: int, silent: bool
) -> None:
    now = 100 * SECOND
    traffic = PeerTraffic(unanswered=now - unanswered * SECOND if unanswered else 0)

    assert is_silent(traffic, PeerPath(ONE, handshake), now) == silent


@pytest.mark.parametrize("when", ["afterwards", "before"])
def test_while_a_peer_does_not_answer_its_name_is_looked_up_until_it_does(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "SILENCE", 0.05)
    monkeypatch.setattr(names, "_LONGEST_PAUSE", 0.05)

    async def scenario() -> None:
        nobody = Endpoint("127.0.0.1", closed_port())
        async with pair(nobody) as (left, key, there):
            answers: list[Endpoint | None] = [nobody, None, there]  # None: the name server is silent

            async def look_up(target: HostPort) -> list[Endpoint]:
                assert target == NAME
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer is None:
                    raise TunnelError("no answer")
                return [answer]

            follower = NameFollower(left, {key: NAME}, look_up)
            if when == "before":
                left.send_keepalive(key)
                assert left.traffic(key).unanswered
            follower.start({NAME: [nobody]})
            if when == "afterwards":
                left.send_keepalive(key)
            await handshake(left)

            assert left.path(key).endpoint == there
            follower.close()

    asyncio.run(scenario())


def test_of_a_peer_whose_name_is_followed_no_more_it_is_not_reported_what_is_sent() -> None:
    async def scenario() -> None:
        async with pair(None) as (left, key, there):
            follower = NameFollower(left, {key: NAME}, endpoints.look_up)
            follower.start({NAME: [there]})
            follower.close()
            events: list[wgpy.DeviceEvent] = []
            left.subscribe(lambda _, event: events.append(event))

            await left.configure(DeviceUpdate(peers=[PeerUpdate(key, endpoint=there)]))
            left.send_keepalive(key)
            await handshake(left)

            assert wgpy.HandshakeCompleted in map(type, events)
            assert DataSent not in map(type, events)

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "fe80::1%eth0"])
def test_an_endpoint_by_address_is_no_name(host: str) -> None:
    peer = PeerConfig(wgpy.PublicKey(b"\x51" * 32), endpoint=HostPort(host, 1))

    assert names_of(Config(peers=(peer,))) == {}


def test_a_daemon_reads_the_names_that_were_written_for_it(tmp_path: Path) -> None:
    key, other = wgpy.PublicKey(b"\x51" * 32), wgpy.PublicKey(b"\x52" * 32)

    write_names("wg0", {key: NAME}, tmp_path)
    assert read_names("wg0", tmp_path) == {key: NAME}
    write_names("wg0", {other: NAME}, tmp_path)
    assert read_names("wg0", tmp_path) == {other: NAME}
    write_names("wg0", {}, tmp_path)
    assert (read_names("wg0", tmp_path), list(tmp_path.iterdir())) == ({}, [])


def test_a_file_of_names_that_makes_no_sense_is_as_none(tmp_path: Path) -> None:
    for text in ("nonsense", "nonsense vpn.example.net:1", "\xff", "a b c"):
        (tmp_path / "wg0.names").write_text(text, encoding="latin-1")
        assert read_names("wg0", tmp_path) == {}


def test_all_addresses_of_a_name_are_found() -> None:
    found = asyncio.run(endpoints.look_up(HostPort("localhost", 51820)))

    assert Endpoint("127.0.0.1", 51820) in found


@pytest.mark.parametrize("host", ["a..b", "nobody.invalid"])
def test_a_name_that_cannot_be_resolved_is_named(host: str) -> None:
    with pytest.raises(TunnelError, match=f"the endpoint {host}:51820 cannot be resolved: "):
        asyncio.run(endpoints.look_up(HostPort(host, 51820)))


def test_a_loop_ends_while_a_name_server_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    released, answered = threading.Event(), threading.Event()

    def ask(*_: object, **__: object) -> list[object]:
        released.wait(TIMEOUT)
        answered.set()
        return []

    async def scenario() -> None:
        looking_up = asyncio.create_task(endpoints.look_up(NAME))
        await asyncio.sleep(0)  # it is in progress now
        looking_up.cancel()

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    asyncio.run(scenario())

    assert not answered.is_set()
    released.set()


# -- Helpers -------------------------------------------------------------------------------------


@asynccontextmanager
async def interface() -> AsyncIterator[wgpy.Interface]:
    """It has a socketpair as its device, of which nobody reads the other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        async with wgpy.Interface(PacketSocket(ours), settings=_PORTABLE) as made:
            yield made


@asynccontextmanager
async def pair(
    endpoint: Endpoint | None,
) -> AsyncIterator[tuple[wgpy.Interface, wgpy.PublicKey, Endpoint]]:
    """Give an interface, the key of its peer, and where that is.

    endpoint: where the interface believes it.
    """
    async with interface() as left, interface() as right:
        left_key, right_key = wgpy.PrivateKey.generate(), wgpy.PrivateKey.generate()
        known, back = PeerUpdate(right_key.public_key(), endpoint=endpoint), PeerUpdate(left_key.public_key())
        await left.configure(DeviceUpdate(left_key, peers=[known]))
        await right.configure(DeviceUpdate(right_key, peers=[back]))
        yield left, right_key.public_key(), Endpoint("127.0.0.1", right.listen_port)


async def handshake(interface: wgpy.Interface) -> None:
    """Wait for one."""
    completed = asyncio.Event()

    def note(_: wgpy.PublicKey, event: wgpy.DeviceEvent) -> None:
        if isinstance(event, wgpy.HandshakeCompleted):
            completed.set()

    interface.subscribe(note)
    async with asyncio.timeout(TIMEOUT):
        await completed.wait()


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
