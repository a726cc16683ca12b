"""The Debian package: programs, modules and units of a wheel, and the man pages. deb(5), Debian Policy

Its dependencies are those of the container image, as both run with Debian's libraries.
"""

import gzip
import hashlib
import os
import re
import runpy
import shutil
import subprocess
import zipfile
from email import message_from_bytes
from email.utils import formatdate
from pathlib import Path
from typing import Final

from wheels import EXTENSION

_CLONE: Final = Path(__file__).parents[3]
_DEPLOY: Final = _CLONE / "daemon/deploy"
_FOLDER: Final = Path(__file__).parent / "scripts"
_SCRIPTS: Final = ("postinst", "prerm", "postrm")
_ARCHITECTURES: Final = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el",
    "riscv64": "riscv64", "s390x": "s390x",
}  # fmt: skip
_LIBC: Final = re.compile(rb"\0GLIBC_(\d+)\.(\d+)")  # names of symbols' versions, see the gABI
_RECOMMENDED: Final = {"nftables", "python3-uvloop"}
_AT_LEAST: Final = {"python3": " (>= 3.11)"}  # so all others are at least those of Debian 12
_CONTROL: Final = """\
Package: wgpy
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Section: net
Priority: optional
Installed-Size: {size}
Depends: libc6 (>= {libc}), {depends}
Recommends: {recommends}
Suggests: wireguard-tools, python3-fastapi, python3-sqlalchemy, python3-segno
Description: WireGuard without the kernel module, and a mesh on top of it
 wgpyd makes a WireGuard interface where the kernel has none, and is configured
 by wg and wg-quick. wgpy brings up tunnels of wg-quick's files, runs programs
 inside a tunnel without root, and joins many hosts to one network, the
 coordinator of which is wgmesh.
"""
_CHANGELOG: Final = """\
wgpy ({version}) unstable; urgency=medium

  * Made of the same tree as the wheel, whose CHANGELOG.md tells the changes.

 -- {maintainer}  {date}
"""
_COPYRIGHT: Final = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: wgpy

Files: *
Copyright: The wgpy authors
License: Expat
"""


def build(wheel: Path, man_pages: Path, folder: Path) -> Path:
    """Make the package of a wheel with C. man_pages: a folder of them. Raises CalledProcessError.

    Everything in it is as old as the environment's SOURCE_DATE_EPOCH says.
    """
    version, architecture = wheel.name.split("-")[1], _architecture(wheel)
    root = folder / f"wgpy_{version}_{architecture}"
    maintainer = _maintainer(wheel)
    runpy.run_path(str(_DEPLOY / "container/image.py"))["install"](wheel, root)
    _add_units(root / "usr/lib/systemd/system")
    _add_man_pages(man_pages, root / "usr/share/man")
    _add_documents(root / "usr/share/doc/wgpy", version, maintainer)
    _add_control(root, version, architecture, maintainer, _libc(wheel))
    package = folder / f"{root.name}.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", root, package], check=True, stdout=subprocess.DEVNULL
    )
    shutil.rmtree(root)
    return package


def _architecture(wheel: Path) -> str:
    return next(debian for name, debian in _ARCHITECTURES.items() if wheel.stem.endswith(name))


def _maintainer(wheel: Path) -> str:
    """Return the author that the wheel names, as pyproject.toml has it."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(metadata))["Author-email"]


def _libc(wheel: Path) -> str:
    """Return the oldest version of glibc that has all that a wheel's C needs."""
    with zipfile.ZipFile(wheel) as archive:
        found = _LIBC.findall(archive.read(EXTENSION))
    return ".".join(map(str, max((int(major), int(minor)) for major, minor in found)))


def _add_units(folder: Path) -> None:
    folder.mkdir(parents=True)
    for unit in (_DEPLOY / "systemd").glob("*.service"):
        shutil.copyfile(unit, folder / unit.name)


def _add_man_pages(pages: Path, folder: Path) -> None:
    for page in pages.iterdir():
        section = folder / f"man{page.suffix[1:]}"
        section.mkdir(parents=True, exist_ok=True)
        _compress(section / page.name, page.read_bytes())


def _add_documents(folder: Path, version: str, maintainer: str) -> None:
    folder.mkdir(parents=True)
    lines = (_CLONE / "LICENSE").read_text().strip().splitlines()
    (folder / "copyright").write_text(_COPYRIGHT + "".join(f" {line or '.'}\n" for line in lines))
    date = formatdate(int(os.environ["SOURCE_DATE_EPOCH"]))
    log = _CHANGELOG.format(version=version, maintainer=maintainer, date=date)
    _compress(folder / "changelog", log.encode())
    _compress(folder / "CHANGELOG.md", (_CLONE / "CHANGELOG.md").read_bytes())


def _compress(path: Path, data: bytes) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def _add_control(root: Path, version: str, architecture: str, maintainer: str, libc: str) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    control = root / "DEBIAN"
    control.mkdir()
    sums = (f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.relative_to(root)}\n" for file in files)
    (control / "md5sums").write_text("".join(sums))
    packages = (_DEPLOY / "container/packages.txt").read_text().split()
    text = _CONTROL.format(
        version=version,
        architecture=architecture,
        maintainer=maintainer,
        libc=libc,
        size=sum(file.stat().st_size for file in files) // 1024,
        depends=", ".join(name + _AT_LEAST.get(name, "") for name in packages if name not in _RECOMMENDED),
        recommends=", ".join(sorted(_RECOMMENDED)),
    )
    (control / "control").write_text(text)
    for script in _SCRIPTS:
        shutil.copyfile(_FOLDER / script, control / script)
        (control / script).chmod(0o755)
