"""Whether a daemon that was started is waited for: as long as it lives, and no longer."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from wgpy.cli import launch
from wgpy.cli.errors import CommandError
from wgpy.cli.launch import Launch
from wgpy.cli.mesh import daemons
from wgpy.node import agent_client

LOOKS = 5  # until a daemon answers
RETURNS_BEFORE_IT_LISTENS = 'cat "$0" &'
RETURNS_ALTHOUGH_IT_FAILED = "echo no permission >&2"


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    """A file that a daemon waits for until it is written to."""
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


def test_a_daemon_that_lives_is_waited_for(fifo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LISTENING_TIMEOUT", 0)

    with Launch(["sh", "-c", RETURNS_BEFORE_IT_LISTENS, fifo]) as begun:
        begun.finish("wg0", after(LOOKS))

    Path(fifo).write_text("")  # the daemon ends


def test_a_daemon_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "START_TIMEOUT", 100_000)
    monkeypatch.setattr(launch, "LISTENING_TIMEOUT", 0)

    with (
        Launch(["sh", "-c", RETURNS_ALTHOUGH_IT_FAILED]) as begun,
        pytest.raises(CommandError, match="the daemon of wg0 did not start: no permission"),
    ):
        begun.finish("wg0", lambda: False)


def test_an_agent_that_is_too_busy_to_answer_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_client, "SOCKETS", tmp_path)
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(agent_client.socket_path("prod")))
        busy.listen(0)

        assert all(daemons.listens("prod") for _ in range(LOOKS)), "also when no more can wait"

    assert not daemons.listens("prod"), "what a killed one left"
    assert not daemons.listens("dev")


def after(looks: int) -> Callable[[], bool]:
    """Return what holds from so many calls on."""
    left = iter(range(looks))
    return lambda: next(left, None) is None
