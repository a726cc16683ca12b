"""The container image: what is in it is what wgpy needs, and the archive is one that runtimes load."""

import hashlib
import io
import json
import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "daemon/deploy/container"
PACKAGES = {
    "cryptography": "python3-cryptography",
    "pynacl": "python3-nacl",
    "cffi": "python3-cffi-backend",
    "dnspython": "python3-dnspython",
    "h11": "python3-h11",
    "uvloop": "python3-uvloop",
}
NOT_IN_DEBIAN = {"python-pytun"}
needs_clone = pytest.mark.skipif(not CONTAINER.exists(), reason="the clone is not there")


@needs_clone
def test_the_image_has_each_library_that_wgpy_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[>=;\[ ]", line)[0] for line in project["dependencies"]} - NOT_IN_DEBIAN

    present = (CONTAINER / "packages.txt").read_text().split()

    assert {PACKAGES[name] for name in needed} <= {*present}
    assert {"iproute2", "nftables", "python3"} <= {*present}


@needs_clone
def test_programs_of_a_wheel_are_where_a_container_looks_for_them(tmp_path: Path) -> None:
    wheel = tmp_path / "wgpy-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("wgpyd/__init__.py", "")
        archive.writestr("wgpyd/main.py", "def main():\n    return 7\n")
        archive.writestr("wgpy-0.dist-info/entry_points.txt", "[console_scripts]\nwgpyd = wgpyd.main:main\n")
        archive.writestr("wgpy-0.data/data/lib/systemd/system/wgpyd-mesh@.service", "")
    image = runpy.run_path(str(CONTAINER / "image.py"))

    image["install"](wheel, tmp_path / "root")

    program = tmp_path / "root/usr/bin/wgpyd"
    modules = tmp_path / "root/usr/lib/python3/dist-packages"
    assert program.stat().st_mode & 0o777 == 0o755
    assert {path.name for path in modules.iterdir()} == {"wgpyd", "wgpy-0.dist-info"}
    ran = subprocess.run([sys.executable, program], env={"PYTHONPATH": str(modules)}, check=False)
    assert ran.returncode == 7


@needs_clone
def test_the_archive_names_its_one_layer_by_what_is_in_it(tmp_path: Path) -> None:
    layer, archive = tmp_path / "layer.tar", tmp_path / "image.tar"
    layer.write_bytes(b"a layer")
    image = runpy.run_path(str(CONTAINER / "image.py"))

    image["write_archive"](layer, archive, "localhost/wgpy:1")

    with tarfile.open(archive) as tar:
        held = {name: tar.extractfile(name) or io.BytesIO() for name in tar.getnames()}
        manifest = json.load(held["manifest.json"])[0]
        config = json.load(held[manifest["Config"]])
        content = held[manifest["Layers"][0]].read()
    assert manifest["RepoTags"] == ["localhost/wgpy:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]
    assert content == b"a layer"
