"""What is left of a file that was replaced just before the power failed, on a file system of its own."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab
from wgpy.config import parse
from wgpy.contract.constants import SECOND
from wgpy.node.files import write_file
from wgpyd.state import TimestampFiles

_SIZE = 16 << 20  # bytes
_COMMIT = 600  # seconds until the file system would write names to the disk by itself
_MOUNTED = ".mounted"
KEY = b"\x01" * 32
FIRST, LATER = 1_800_000_000 * SECOND, 1_800_000_120 * SECOND

SAVE = """
import sys
from pathlib import Path
from wgpy.cli.files import save
from wgpy.config import Config

for port in (1, 2):
    save(Path(sys.argv[1], "wg0.conf"), Config(listen_port=port))
"""


@dataclass
class Disk:
    """files: a folder on it. host: whose mounts nobody else has."""

    host: Host
    image: Path
    files: Path

    def after_a_power_cut(self) -> Path:
        """Return the folder with what was on the disk when the power failed, as it is now."""
        copy = self.image.with_name("copy.img")
        shutil.copy(self.image, copy)
        return mounted(self.host, copy)


def mounted(host: Host, image: Path, *options: str) -> Path:
    folder = image.with_suffix(_MOUNTED)
    folder.mkdir()
    tried = host.attempt("mount", "-o", ",".join(("loop", *options)), str(image), str(folder))
    if tried.status:
        pytest.skip(f"this host mounts no image of a file system: {tried.output}")
    return host.path(str(folder))


@pytest.fixture
def disk(lab: Lab, tmp_path: Path) -> Disk:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not here: apt-get install e2fsprogs")
    host, image = lab.host("host"), tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    host.run("mkfs.ext4", "-q", "-F", str(image))
    return Disk(host, image, mounted(host, image, f"commit={_COMMIT}"))


def replace_timestamp(disk: Disk) -> None:
    timestamps = TimestampFiles(disk.files, beside=lambda call: call())
    timestamps.keep(KEY, FIRST)
    timestamps.keep(KEY, LATER)


def newest_timestamp(folder: Path) -> bool:
    return TimestampFiles(folder, wall_clock=lambda: 0).load(KEY) > LATER


def replace_configuration(disk: Disk) -> None:
    """From within, as it follows links, of which the way in from outside is one."""
    disk.host.run(sys.executable, "-c", SAVE, str(disk.image.with_suffix(_MOUNTED)))


def newest_configuration(folder: Path) -> bool:
    return parse((folder / "wg0.conf").read_text()).listen_port == 2


def replace_file_of_node(disk: Disk) -> None:
    for data in (b"first", b"second"):
        write_file(disk.files / "node.json", data)


def newest_file_of_node(folder: Path) -> bool:
    return (folder / "node.json").read_bytes() == b"second"


@pytest.mark.parametrize(
    ("replace", "is_newest"),
    [
        pytest.param(replace_timestamp, newest_timestamp, id="timestamp"),
        pytest.param(replace_configuration, newest_configuration, id="configuration"),
        pytest.param(replace_file_of_node, newest_file_of_node, id="file of a node"),
    ],
)
def test_what_was_replaced_is_on_the_disk(
    disk: Disk, replace: Callable[[Disk], None], is_newest: Callable[[Path], bool]
) -> None:
    replace(disk)

    assert is_newest(disk.after_a_power_cut())


def test_what_nobody_waited_for_is_not_there(disk: Disk) -> None:
    """Else the other tests here would say nothing."""
    (disk.files / "file").write_bytes(b"data")

    assert not (disk.after_a_power_cut() / "file").exists()
