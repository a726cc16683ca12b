#!/usr/bin/env python3
"""Makes the image of the Containerfile without docker: an archive that ctr, docker and podman load.

    python3 -m build --wheel                             in the clone, first
    python3 daemon/deploy/container/image.py dist/wgpy-*.whl wgpy.tar registry.example.com/wgpy:0.1.0
    ctr -n k8s.io images import wgpy.tar

Needs root and mmdebstrap. The archive is that of `docker save`: OCI image specification, and a manifest.json.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_SUITE: Final = "trixie"
_MODULES: Final = "usr/lib/python3/dist-packages"
_ARCHITECTURES: Final = {"amd64": "amd64", "arm64": "arm64", "armhf": "arm", "s390x": "s390x"}
_ENVIRONMENT: Final = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def main(wheel: str, archive: str, name: str) -> None:
    """Raises CalledProcessError, OSError."""
    os.umask(0o022)  # as whoever reads the image is another user
    with TemporaryDirectory() as folder:
        installed, layer = Path(folder, "installed"), Path(folder, "layer.tar")
        install(Path(wheel), installed)
        make_layer(installed, layer)
        write_archive(layer, Path(archive), name)


def install(wheel: Path, folder: Path) -> None:
    """Unpack modules and programs of a wheel below a folder, as Debian's Python finds them."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if not name.split("/")[0].endswith(".data")]
        archive.extractall(folder / _MODULES, members)
        (about,) = {name.split("/")[0] for name in members if name.split("/")[0].endswith(".dist-info")}
        programs = ConfigParser()
        programs.read_string(archive.read(f"{about}/entry_points.txt").decode())
    for name, place in programs["console_scripts"].items():
        module, _, function = place.partition(":")
        program = folder / "usr/bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f"#!/usr/bin/python3\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        )
        program.chmod(0o755)


def make_layer(installed: Path, layer: Path) -> None:
    """Make a Debian with the packages of the Containerfile and what is in a folder."""
    packages = Path(__file__).with_name("packages.txt").read_text().split()
    subprocess.run(
        [
            "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}",
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            f"--customize-hook=copy-in {installed}/usr /",
            _SUITE, str(layer),
        ],
        check=True,
    )  # fmt: skip


def write_archive(layer: Path, archive: Path, name: str) -> None:
    """Write an image of one layer. name: with its tag."""
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Env": _ENVIRONMENT, "Cmd": ["wgpyd", "--help"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, "config.json", config)
        tar.add(layer, f"{digest}/layer.tar")
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _architecture() -> str:
    """Return what images call this machine's."""
    found = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    return _ARCHITECTURES[found.stdout.strip()]


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
