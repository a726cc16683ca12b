"""The configuration socket's file: claimed, watched and removed."""

import os
import re
import select
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wgpyd.errors import StartError
from wgpyd.socketfile import SocketFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wireguard" / "wg0.sock"


@pytest.fixture
def socket_file(path: Path) -> Iterator[SocketFile]:
    made = SocketFile.create(path)
    yield made
    made.close()


def is_readable(socket_file: SocketFile) -> bool:
    readable, _, _ = select.select([socket_file], [], [], 0)
    return bool(readable)


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        return caller.connect_ex(str(path)) == 0


def test_it_listens_for_its_owner_alone(socket_file: SocketFile, path: Path) -> None:
    assert connects(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_other_threads_keep_their_umask(path: Path) -> None:
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.update(re.findall(r"^Umask:\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE))

    before = os.umask(0o077)
    other = threading.Thread(target=watch)
    other.start()
    try:
        for _ in range(200):
            made = SocketFile.create(path)
            made.remove()
            made.close()
            path.parent.rmdir()
    finally:
        ended.set()
        other.join()
        os.umask(before)

    assert seen == {"0077"}


def test_its_folder_is_passable_whatever_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        SocketFile.create(path).close()
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_listens_from_the_moment_its_file_is_there(path: Path) -> None:
    """`wg` unlinks a socket that refuses connections."""
    path.parent.mkdir()
    answers: list[bool] = []

    def call_as_soon_as_it_is_there() -> None:
        while not path.exists():
            pass
        answers.append(connects(path))

    for _ in range(100):
        caller = threading.Thread(target=call_as_soon_as_it_is_there)
        caller.start()
        made = SocketFile.create(path)
        caller.join()
        made.remove()
        made.close()

    assert answers == [True] * 100
    assert list(path.parent.iterdir()) == []


def test_the_file_of_a_daemon_that_died_is_replaced(path: Path) -> None:
    dead = SocketFile.create(path)
    dead.close()
    assert path.exists()

    alive = SocketFile.create(path)

    assert connects(path)
    alive.close()


def test_a_daemon_that_answers_is_left_alone(socket_file: SocketFile, path: Path) -> None:
    with pytest.raises(StartError, match="another daemon"):
        SocketFile.create(path)

    assert socket_file.is_there()


def test_it_is_noticed_when_the_file_is_removed(socket_file: SocketFile, path: Path) -> None:
    assert not is_readable(socket_file)

    path.unlink()

    assert is_readable(socket_file)
    assert not socket_file.is_there()


def test_a_change_that_leaves_the_file_there_is_acknowledged(socket_file: SocketFile, path: Path) -> None:
    path.chmod(0o660)
    assert is_readable(socket_file)

    socket_file.acknowledge()

    assert not is_readable(socket_file)
    assert socket_file.is_there()


def test_it_removes_its_own_file(socket_file: SocketFile, path: Path) -> None:
    socket_file.remove()

    assert not path.exists()


def test_it_does_not_remove_the_file_of_another(socket_file: SocketFile, path: Path) -> None:
    path.unlink()
    another = SocketFile.create(path)

    socket_file.remove()

    assert another.is_there()
    another.close()


def test_it_can_be_renamed_and_is_watched_under_its_new_name(socket_file: SocketFile, path: Path) -> None:
    new = path.with_name("wg1.sock")

    socket_file.rename(new)

    assert connects(new)
    assert not path.exists()
    assert socket_file.is_there()
    new.unlink()
    assert is_readable(socket_file)
    assert not socket_file.is_there()


def test_renaming_replaces_the_file_of_a_daemon_that_died(socket_file: SocketFile, path: Path) -> None:
    new = path.with_name("wg1.sock")
    SocketFile.create(new).close()

    socket_file.rename(new)

    assert connects(new)
    assert list(path.parent.iterdir()) == [new]


def test_it_is_not_renamed_over_a_daemon_that_answers(socket_file: SocketFile, path: Path) -> None:
    another = SocketFile.create(path.with_name("wg1.sock"))

    with pytest.raises(StartError, match="another daemon"):
        socket_file.rename(another.path)

    assert socket_file.is_there()
    assert another.is_there()
    another.close()


def test_a_listening_descriptor_can_be_adopted(path: Path) -> None:
    path.parent.mkdir()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    adopted = SocketFile.adopt(listener.detach())

    assert adopted.path == str(path)
    assert adopted.is_there()
    adopted.close()


def test_what_is_no_listening_unix_socket_is_not_adopted() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        pytest.raises(StartError, match="WG_UAPI_FD"),
    ):
        SocketFile.adopt(other.fileno())
