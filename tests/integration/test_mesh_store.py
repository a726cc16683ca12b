"""A coordinator whose disk is full: it says so, loses nothing, and goes on when there is room.

tmpfs of 1 MiB ── records.sqlite
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, NEW, TOKEN, Site, in_a_loop, kinds
from wgpy.node.coordinator_client import Denied

pytestmark = [pytest.mark.integration, pytest.mark.root]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@in_a_loop
async def test_a_full_disk_stops_changes_and_nothing_else(small_disk: Path) -> None:
    site = Site.create(small_disk)
    filler = small_disk / "filler"
    async with site.serve():
        await site.found(ALICE)
        async with site.follow(ALICE) as alice:
            await alice.received()
            fill(filler)

            with pytest.raises(Denied, match="cannot be written: the disk is full"):
                await site.submit(site.administrator.join(BOB, TOKEN))

            async with site.follow(ALICE) as again:
                assert "n11" in kinds(await again.received())
            filler.unlink()
            assert await site.submit(site.administrator.join(BOB, TOKEN)) == [NEW]  # as if never tried
            assert kinds(await alice.received()) == ["n12"]
    async with site.serve(), site.follow(BOB) as bob:
        assert {"n11", "n12"} <= set(kinds(await bob.received()))


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return
