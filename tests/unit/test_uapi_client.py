"""Asking a daemon over its socket: answers, refusals, and daemons that misbehave."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wgpy.address import parse_prefix
from wgpy.keys import PublicKey
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerUpdate
from wgpy.uapi import RequestParser, encode_counters, encode_errno, encode_status
from wgpy.uapi import client as uapi_client
from wgpy.uapi.client import InterfaceError, NoSuchInterfaceError

STATUS = DeviceStatus(listen_port=51820, fwmark=7)


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


def test_get_returns_the_state(tmp_path: Path) -> None:
    with daemon(tmp_path, b"".join(encode_status(STATUS))):
        assert uapi_client.get("wg0", tmp_path) == STATUS


def test_set_hands_over_the_update(tmp_path: Path) -> None:
    update = DeviceUpdate(listen_port=1)
    with daemon(tmp_path, encode_errno(0)) as requests:
        uapi_client.set_("wg0", update, tmp_path)
    assert requests == [update]


def test_a_refused_set_says_why(tmp_path: Path) -> None:
    with daemon(tmp_path, encode_errno(-98)), pytest.raises(InterfaceError, match="Address already in use"):
        uapi_client.set_("wg0", DeviceUpdate(), tmp_path)


def test_a_daemon_that_answers_before_it_has_read_all_is_heard(tmp_path: Path) -> None:
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
            uapi_client.set_("wg0", DeviceUpdate(peers=[peer]), tmp_path)
        thread.join(5)


def test_counters_are_told_by_name(tmp_path: Path) -> None:
    with daemon(tmp_path, encode_counters({"malformed": 3})):
        assert uapi_client.counters("wg0", tmp_path) == {"malformed": 3}


@pytest.mark.parametrize("answer", [b"", encode_errno(-22)], ids=["hangs up", "refuses"])
def test_a_daemon_that_knows_no_counters_is_said_to(tmp_path: Path, answer: bytes) -> None:
    with daemon(tmp_path, answer), pytest.raises(InterfaceError, match="wg0 does not count what it drops"):
        uapi_client.counters("wg0", tmp_path)


@pytest.mark.parametrize("answer", [b"", b"listen_port=1\n", b"listen_port=x\nerrno=0\n\n"])
def test_an_answer_that_makes_no_sense_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with daemon(tmp_path, answer), pytest.raises(InterfaceError, match="makes no sense"):
        uapi_client.get("wg0", tmp_path)


def test_no_socket_and_a_dead_one_are_no_interface(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "dead.sock"))
    for name in ("dead", "absent"):
        with pytest.raises(NoSuchInterfaceError, match=f"there is no interface {name}"):
            uapi_client.get(name, tmp_path)


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
