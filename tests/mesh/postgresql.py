"""A PostgreSQL to test with: a server and a folder of its own, behind a Unix socket or a host's service."""

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

SETTINGS = "-c fsync=off -c max_connections=50"


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """programs, folder: where its programs and its data are."""

    programs: Path
    folder: Path

    @classmethod
    @contextmanager
    def made(cls) -> Iterator["PostgreSQL"]:
        """Make one that does not run yet. Skip the test where it is not installed."""
        server = cls(_programs(), Path(tempfile.mkdtemp(prefix="postgresql-")))
        try:
            server.folder.chmod(0o755)  # its socket is for a coordinator without root's privileges, too
            if os.geteuid() == 0:
                shutil.chown(server.folder, _user())
            server._run("initdb", "--no-sync", "--auth=trust", "--username=wgmesh", "--encoding=UTF8")
            yield server
        finally:
            shutil.rmtree(server.folder)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["PostgreSQL"]:
        """Make one that listens at its socket alone. Skip the test where it is not installed."""
        with cls.made() as server:
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        settings = f"{SETTINGS} -c listen_addresses= -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "--wait", f"--options={settings}", f"--log={self.folder}/log", "start")

    def service(self, address: str) -> list[str]:
        """Return the command that serves whoever connects to its port at this address, until it is killed."""
        with (self.folder / "data/pg_hba.conf").open("a") as who:
            who.write("host all all all trust\n")
        settings = f"{SETTINGS} -c listen_addresses={address} -c unix_socket_directories="
        return self._command("postgres", *settings.split(" "))

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
        done = subprocess.run(
            self._command(program, *arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stderr

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self.programs / program), "-D", f"{self.folder}/data", *arguments]
        if os.geteuid() == 0:  # which it refuses to run as
            command = ["setpriv", f"--reuid={_user()}", "--regid=nogroup", "--clear-groups", *command]
        return command


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
