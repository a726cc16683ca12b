"""The daemon of a node that starts while its host joins."""

import os
from pathlib import Path

import pytest

from wgpy.cli.errors import CommandError
from wgpy.cli.launch import Launch
from wgpy.cli.mesh import ahead

DAEMON = """\
#!/bin/sh
env > {folder}/environment
read name && echo "$@" "$name" > {folder}/told
test "$name" = prod || echo "no such network" >&2
test "$name" = prod
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a daemon, which is a script here, writes what it got."""
    script = tmp_path / "wgpyd"
    script.write_text(DAEMON.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(tmp_path / "wgpy")])
    monkeypatch.setattr(ahead, "SYSTEMD", tmp_path / "systemd")
    return tmp_path


def begun() -> Launch:
    found = ahead.begun()
    assert found is not None
    return found


def test_it_is_told_of_the_network_and_not_of_the_token(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WGPY_TOKEN", "wgpy1_secret")
    ahead.begin()
    del os.environ["WGPY_TOKEN"]

    with begun() as launch:
        launch.finish("prod", lambda: True, "prod\n")

    assert (folder / "told").read_text() == "--mesh - prod\n"
    assert "secret" not in (folder / "environment").read_text()


def test_what_it_says_is_why_it_did_not_start(folder: Path) -> None:
    with begun() as launch, pytest.raises(CommandError, match="did not start: no such network"):
        launch.finish("other", lambda: True, "other\n")


def test_one_that_is_not_needed_ends(folder: Path) -> None:
    with begun():
        pass

    assert not (folder / "told").exists()


def test_where_systemd_starts_daemons_none_starts_ahead(folder: Path) -> None:
    (folder / "systemd").mkdir()

    assert ahead.begun() is None
