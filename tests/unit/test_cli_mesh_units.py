"""The units for systemd: what systemd itself says of them, and what a host that runs Kubernetes relies on."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2] / "daemon/deploy/systemd"
# Where only the tests of the clone are, what was installed is tested.
FOLDER = CLONE if CLONE.exists() else Path(sys.prefix) / "lib/systemd/system"
UNITS = ("wgmesh@.service", "wgpy@.service", "wgpyd-mesh@.service")


def test_each_unit_is_listed_here() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == list(UNITS)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path, unit: str) -> None:
    """The program need not be installed: another one stands in its place."""
    text = re.sub(r"(?m)^(Exec\w+)=\S+", rf"\1={sys.executable}", (FOLDER / unit).read_text())
    path = tmp_path / unit.replace("@", "@prod")
    path.write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_node_is_up_before_what_uses_its_addresses() -> None:
    before = re.search(r"(?m)^Before=(.*)$", (FOLDER / "wgpyd-mesh@.service").read_text())

    assert before
    units = {"kubelet", "k3s", "k3s-agent", "rke2-server", "rke2-agent"}
    assert set(before[1].split()) == {f"{unit}.service" for unit in units}
