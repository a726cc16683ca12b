"""A coordinator as a process of its own: `wgmesh serve`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.mesh.coordinator import Site
from tests.mesh.coordinator_port import free_port
from wgpy.node.coordinator_client import Address

ROOT = Path(__file__).parents[2]
READY = b"READY=1"


class Process:
    """`wgmesh serve` of a site; when it is made it listens, as it tells systemd."""

    def __init__(self, site: Site, *options: str) -> None:
        port = free_port()
        site.address = Address(f"https://127.0.0.1:{port}", site.address.key_hash)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            path = site.folder / "notify"
            path.unlink(missing_ok=True)
            systemd.bind(str(path))
            systemd.settimeout(60)
            where = f"127.0.0.1:{port}"
            self._process = _start("serve", str(site.folder), "--listen", where, *options, notify=path)
            assert systemd.recv(100) == READY

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, number: int) -> tuple[int, str]:
        """Ask it to end; its status, and what it logged."""
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, (out + err).decode()


def _start(*arguments: str, notify: Path | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "wgmesh.main", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}", "NOTIFY_SOCKET": str(notify or "")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
