"""The image of every pod here, made without a registry: busybox; pods mount this machine's /usr into it."""

import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from platform import machine
from typing import Any

from tests.integration.hosts import CommandFailed

IMAGE = "localhost/pod:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as images call them
_LINKS = ("bin", "sbin", "lib", "lib64")  # to what is in /usr on every system of today
_FOLDERS = ("usr", "usr/bin", "etc", "tmp", "proc", "sys", "dev")
_APPLETS = ("sh", "wget", "httpd", "ping", "mkdir", "seq", "sort", "uniq")  # for pods that mount no /usr
PYTHON = str(Path(sys.executable).resolve())


def write_image(archive: Path) -> Path:
    """Write the image as an archive that `ctr images import` takes, and return that."""
    layer = _layer()
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(machine(), machine()),
            "os": "linux",
            "config": {"Entrypoint": ["/busybox", "sleep", "2147483647"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [IMAGE], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, name, config)
        _add(tar, f"{digest}/layer.tar", layer)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return archive


def host_folders(*more: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return volumes and their mounts, read-only, of all that Python needs in a pod, and of more folders."""
    folders = {Path("/usr"), Path(sys.base_prefix), *more}
    named = [(f"folder-{index}", str(folder)) for index, folder in enumerate(sorted(folders))]
    volumes = [{"name": name, "hostPath": {"path": folder}} for name, folder in named]
    return volumes, [{"name": name, "mountPath": folder, "readOnly": True} for name, folder in named]


def _layer() -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise CommandFailed("busybox is missing: apt-get install busybox-static")
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for folder in _FOLDERS:
            _add(tar, folder, b"", type=tarfile.DIRTYPE)
        for link in _LINKS:
            _add(tar, link, b"", type=tarfile.SYMTYPE, linkname=f"usr/{link}")
        for applet in _APPLETS:
            _add(tar, f"usr/bin/{applet}", b"", type=tarfile.SYMTYPE, linkname="/busybox")
        _add(tar, "busybox", Path(busybox).read_bytes())
    return written.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, **properties: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    for key, value in properties.items():
        setattr(entry, key, value)
    tar.addfile(entry, io.BytesIO(content))
