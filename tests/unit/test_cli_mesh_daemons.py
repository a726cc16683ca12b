"""Daemons by systemd, which is a script here: it says what it was asked, and starts nothing."""

from pathlib import Path

import pytest

from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.mesh import daemons

SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> {log}
case "$1" in
    enable) echo "Job for $3 failed." >&2; exit 1 ;;
esac
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was asked of it, a line each."""
    log = tmp_path / "asked"
    script = tmp_path / "systemctl"
    script.write_text(SYSTEMCTL.format(log=log))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(daemons, "_SYSTEMD", tmp_path)
    return log


def test_a_unit_that_does_not_start_is_not_left_to_start_at_the_next_boot(asked: Path) -> None:
    reason = r"wgmesh@prod\.service does not start; `journalctl -u wgmesh@prod\.service` says why"
    with pytest.raises(CommandError, match=reason):
        daemons.start_coordinator(Host(verbose=False), "prod", lambda: False)

    assert asked.read_text().splitlines() == [
        "cat wgmesh@prod.service",
        "enable --now wgmesh@prod.service",
        "disable --now wgmesh@prod.service",
    ]


def test_a_node_that_does_not_start_is_not_left_to_start_at_the_next_boot(asked: Path) -> None:
    with pytest.raises(CommandError, match=r"journalctl -u wgpyd-mesh@prod\.service"):
        daemons.start_node(Host(verbose=False), "prod")

    assert asked.read_text().splitlines()[-1] == "disable --now wgpyd-mesh@prod.service"
