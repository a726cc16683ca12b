"""The host's tools (ip, nft, resolvectl, …); the failure of a tool is a CommandError with its reason."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wgpy.cli import hooks
from wgpy.cli.errors import CommandError
from wgpy.host.iproute import IpFailed, check_ip, read_answer, read_failures, read_reason


class Host:
    """The host's tools. With verbose, every change is printed before it is made."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def check_ip(self) -> None:
        """Raises CommandError if this host has no `ip` that the other methods can use."""
        try:
            check_ip()
        except IpFailed as error:
            raise CommandError(str(error)) from None

    def print_change(self, text: str) -> None:
        if self._verbose:
            print(f"# {text}", file=sys.stderr)

    def run(self, command: Sequence[str], text: str = "") -> None:
        """Run a command that changes something, with text as its input."""
        self.print_change(shlex.join(command))
        done = _call(command, text)
        if done.returncode != 0:
            raise CommandError(f"`{shlex.join(command)}` failed: {read_reason(done.stderr)}")

    def ip(self, lines: Sequence[str], *options: str) -> None:
        """Make several changes by one `ip -batch`, up to the first that fails."""
        if not lines:
            return
        for line in lines:
            self.print_change(f"ip {' '.join([*options, line])}")
        done = _call(["ip", *options, "-batch", "-"], "\n".join([*lines, ""]))
        if done.returncode != 0:
            index, reason = next(iter(read_failures(done.stderr).items()), (0, read_reason(done.stderr)))
            raise CommandError(f"`ip {' '.join([*options, lines[index]])}` failed: {reason}")

    def query_ip(self, *arguments: str) -> list[Any]:
        """Return the answer of `ip -json`, or an empty list if it fails."""
        done = _call(["ip", "-json", *arguments], "")
        if done.returncode != 0:
            return []
        return read_answer(done.stdout)

    def query_nft_tables(self) -> list[str]:
        """Return the names of nft's tables, with their families; none where nft is not installed."""
        try:
            done = _call(["nft", "list", "tables"], "")
        except CommandError:
            return []
        return [line.removeprefix("table ") for line in done.stdout.splitlines()]

    def run_hooks(self, name: str, commands: Sequence[str], variables: hooks.Variables) -> None:
        """Run shell commands of the configuration, by bash where it is installed. Raises CommandError."""
        bash = shutil.which("bash")
        for command in commands:
            self.print_change(command)
            script = hooks.script(command, variables, bash=bash is not None)
            status = subprocess.run([bash or "sh", "-c", script], check=False).returncode
            if status != 0:
                raise CommandError(f"the {name} command `{command}` failed with exit status {status}")

    def sysctl(self, name: str, value: str) -> str:
        """Set a kernel setting and return its old value."""
        path = Path("/proc/sys", *name.split("."))
        try:
            old = path.read_text().strip()
            if old != value:
                self.print_change(f"sysctl {name}={value}")
                path.write_text(value)
        except OSError as error:
            raise CommandError(f"the kernel setting {name} cannot be changed: {error.strerror}") from None
        return old


def _call(command: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        raise CommandError(f"{command[0]} is not installed, and this command needs it") from None
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be run: {error.strerror}") from None
