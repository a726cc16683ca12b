"""A PostgreSQL to test with: a server and a folder of its own; it listens at a Unix socket alone."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SETTINGS = "-c listen_addresses= -c fsync=off -c max_connections=50"


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """programs, folder: where its programs and its data are."""

    programs: Path
    folder: Path

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["PostgreSQL"]:
        """Skip the test where it is not installed."""
        server = cls(_programs(), Path(tempfile.mkdtemp(prefix="postgresql-")))
        try:
            server.folder.chmod(0o755)  # its socket is for a coordinator without root's privileges, too
            if os.geteuid() == 0:
                shutil.chown(server.folder, _user())
            server._run("initdb", "--no-sync", "--auth=trust", "--username=wgmesh", "--encoding=UTF8")
            server.start()
            try:
                yield server
            finally:
                server.stop()
        finally:
            shutil.rmtree(server.folder)

    def start(self) -> None:
        settings = f"{SETTINGS} -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "--wait", f"--options={settings}", f"--log={self.folder}/log", "start")

    def stop(self) -> None:
        """At once, without a word to who is connected."""
        self._run("pg_ctl", "--wait", "--mode=immediate", "stop")

    def database(self, name: str) -> str:
        """Make a database; its URL."""
        subprocess.run(
            [self.programs / "createdb", "-h", self.folder, "-U", "wgmesh", name], check=True, cwd=self.folder
        )
        return f"postgresql://wgmesh@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), f"--pgdata={self.folder}/data", *arguments]
        if os.geteuid() == 0:  # which it refuses to run as
            command = ["setpriv", f"--reuid={_user()}", "--regid=nogroup", "--clear-groups", *command]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr


def _user() -> str:
    """Return whom it runs as if root started it."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _programs() -> Path:
    """Debian does not have them in PATH."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1:]
    found = newest or [Path(path) for path in [shutil.which("initdb")] if path]
    if not found:
        pytest.skip("TESTS WITH POSTGRESQL DID NOT RUN: this host lacks it (apt-get install postgresql)")
    return found[0].parent
