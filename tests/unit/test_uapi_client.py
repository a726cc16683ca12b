"""Asking a daemon over its socket, blocking and with asyncio: answers, refusals, daemons that misbehave."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from wgpy.address import parse_prefix
from wgpy.keys import PresharedKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate
from wgpy.uapi import RequestParser, aio, encode_counters, encode_errno, encode_status
from wgpy.uapi import client as uapi_client
from wgpy.uapi.client import InterfaceError, NoSuchInterfaceError

STATUS = DeviceStatus(listen_port=51820, fwmark=7)


@dataclass(frozen=True, slots=True)
class Client:
    """What both clients can do, as it is without asyncio."""

    get: Callable[[str, Path], DeviceStatus]
    set_: Callable[[str, DeviceUpdate, Path], None]
    counters: Callable[[str, Path], dict[str, int]]
    handshakes: Callable[[str, Path, float], Iterator[PeerStatus]]


def _waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: asyncio.run(function(*arguments))


def _handshakes(interface: str, directory: Path, seconds: float) -> Iterator[PeerStatus]:
    with asyncio.Runner() as runner:
        seen = aio.handshakes(interface, directory, seconds)
        while True:
            yield runner.run(cast(Any, anext(seen)))


_BLOCKING = Client(uapi_client.get, uapi_client.set_, uapi_client.counters, uapi_client.handshakes)
_AIO = Client(_waiting(aio.get), _waiting(aio.set_), _waiting(aio.counters), _handshakes)


@pytest.fixture(params=[_BLOCKING, _AIO], ids=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest) -> Client:
    return cast(Client, request.param)


@contextmanager
def daemon(directory: Path, answer: bytes) -> Iterator[list[object]]:
    """Serve wg0 to one client: read one request, answer with these bytes, hang up. Yields the requests."""
    requests: list[object] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            parser = RequestParser()
            while not requests:
                requests.extend(parser.feed(connection.recv(65536)))
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(directory / "wg0.sock"))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield requests
        thread.join(5)
        assert not thread.is_alive()


def test_get_returns_the_state(client: Client, tmp_path: Path) -> None:
    with daemon(tmp_path, b"".join(encode_status(STATUS))):
        assert client.get("wg0", tmp_path) == STATUS


def test_set_hands_over_the_update(client: Client, tmp_path: Path) -> None:
    update = DeviceUpdate(listen_port=1)
    with daemon(tmp_path, encode_errno(0)) as requests:
        client.set_("wg0", update, tmp_path)
    assert requests == [update]


def test_a_refused_set_says_why(client: Client, tmp_path: Path) -> None:
    with daemon(tmp_path, encode_errno(-98)), pytest.raises(InterfaceError, match="Address already in use"):
        client.set_("wg0", DeviceUpdate(), tmp_path)


def test_a_daemon_that_answers_before_it_has_read_all_is_heard(client: Client, tmp_path: Path) -> None:
    peer = PeerUpdate(PublicKey(b"\x51" * 32), allowed_ips=[AllowedIPChange(parse_prefix("::/0"))] * 100_000)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(10)
            connection.sendall(encode_errno(-22))
            connection.shutdown(socket.SHUT_RD)
            while connection.recv(65536):
                pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "wg0.sock"))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(InterfaceError, match="Invalid argument"):
            client.set_("wg0", DeviceUpdate(peers=[peer]), tmp_path)
        thread.join(5)


def test_counters_are_told_by_name(client: Client, tmp_path: Path) -> None:
    with daemon(tmp_path, encode_counters({"malformed": 3})):
        assert client.counters("wg0", tmp_path) == {"malformed": 3}


@pytest.mark.parametrize("answer", [b"", encode_errno(-22)], ids=["hangs up", "refuses"])
def test_a_daemon_that_knows_no_counters_is_said_to(client: Client, tmp_path: Path, answer: bytes) -> None:
    with daemon(tmp_path, answer), pytest.raises(InterfaceError, match="wg0 does not count what it drops"):
        client.counters("wg0", tmp_path)


@pytest.mark.parametrize("answer", [b"", b"listen_port=1\n", b"listen_port=x\nerrno=0\n\n"])
def test_an_answer_that_makes_no_sense_is_an_error(client: Client, tmp_path: Path, answer: bytes) -> None:
    with daemon(tmp_path, answer), pytest.raises(InterfaceError, match="makes no sense"):
        client.get("wg0", tmp_path)


def test_each_handshake_is_told_once_until_the_interface_is_gone(client: Client, tmp_path: Path) -> None:
    key, other = PublicKey(b"\x51" * 32), PublicKey(b"\x52" * 32)
    answers = [
        status({key: 10, other: 0}),
        status({key: 10, other: 0}),
        status({key: 20, other: 5}),
        status({key: 20}),
        status({key: 20, other: 6}),
    ]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "wg0.sock"))
        listener.listen()
        thread = threading.Thread(target=serve_each, args=(listener, answers), daemon=True)
        thread.start()
        handshakes = client.handshakes("wg0", tmp_path, 0)
        seen = [next(handshakes) for _ in range(3)]
        with pytest.raises(NoSuchInterfaceError):
            next(handshakes)
        thread.join(60)

    told = [(peer.public_key, peer.last_handshake_time) for peer in seen]
    assert told == [(key, 20), (other, 5), (other, 6)]


def status(handshakes: dict[PublicKey, int]) -> bytes:
    """The answer with these peers. Times in ns."""
    peers = [
        PeerStatus(key, PresharedKey(bytes(32)), last_handshake_time=time) for key, time in handshakes.items()
    ]
    return b"".join(encode_status(DeviceStatus(peers=peers)))


def serve_each(listener: socket.socket, answers: list[bytes]) -> None:
    """Give one client after the other the next answer; with the last one the socket is gone."""
    for number, answer in enumerate(answers, 1):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            if number == len(answers):
                listener.close()
            connection.sendall(answer)


def test_no_socket_and_a_dead_one_are_no_interface(client: Client, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "dead.sock"))
    for name in ("dead", "absent"):
        with pytest.raises(NoSuchInterfaceError, match=f"there is no interface {name}"):
            client.get(name, tmp_path)


def test_only_interfaces_that_are_served_are_listed(tmp_path: Path) -> None:
    (tmp_path / "file.sock").touch()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(tmp_path / "dead.sock"))
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(os.fspath(tmp_path / "wg7.sock"))
        alive.listen()
        assert uapi_client.interfaces(tmp_path) == ["wg7"]


def test_without_the_directory_no_interface_is_listed(tmp_path: Path) -> None:
    assert uapi_client.interfaces(tmp_path / "nowhere") == []
