"""Installation of the peers to compare with, each by its package manager."""

import argparse
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.suite.implementations import go_build, programs, usual_folders

INSTALL_TIMEOUT: Final = 1800  # seconds for one to be fetched and built
_USUAL: Final = ("/usr/local/go/bin", "/usr/lib/go/bin")  # of Go, not always in PATH


class NotInstalled(Exception):
    """A peer cannot be installed; the message has the reason."""


def main(arguments: Sequence[str]) -> int:
    """Install the peers that can be installed; return 1 if there is none."""
    argparse.ArgumentParser(
        prog="python -m benchmarks install-peers",
        description="Install userspace WireGuard implementations to compare with, by go, cargo and apt-get. "
        "One that cannot be had is named and left out.",
    ).parse_args(arguments)
    there = 0
    for name, install in _INSTALLERS.items():
        print(f"{name:22} ", end="", flush=True)
        try:
            print(install(), flush=True)
            there += 1
        except NotInstalled as error:
            print(f"left out: {error}", flush=True)
    return int(there == 0)


def _by_go(module: str, version: str, file: str) -> str:
    """Install a Go program, and return what was done. Raises NotInstalled."""
    go = _program("go", "Go: https://go.dev/dl, or apt-get install golang-go")
    wanted = _output([go, "list", "-m", "-f", "{{.Version}}", f"{module}@{version}"]).splitlines()[-1]
    for program in programs(file, usual_folders("go/bin")):
        if go_build(program) == (module, wanted):
            return f"{wanted} is installed already: {program}"
    print(f"go install {module}@{wanted} ... ", end="", flush=True)
    _output([go, "install", f"{module}@{wanted}"])
    return "installed"


def _by_cargo(package: str) -> str:
    """Install a Rust program, and return what was done. Raises NotInstalled."""
    cargo = _program("cargo", "Rust: https://rustup.rs, or apt-get install cargo")
    print(f"cargo install {package}, which takes minutes ... ", end="", flush=True)
    try:
        output = _output([cargo, "install", "--locked", package])
    except NotInstalled as error:
        if re.search("binary `.*` already exists", str(error)):  # though cargo knows nothing of it
            return "it is here already"
        raise
    return "it is here already" if "already installed" in output else "installed"


def _by_apt(package: str) -> str:
    """Install a Debian package, and return what was done. Raises NotInstalled."""
    query = _program("dpkg-query", "Debian")
    asked = subprocess.run(
        [query, "-W", "-f", "${db:Status-Status} ${Version}", package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    status, _, version = asked.stdout.partition(" ")
    if status == "installed":
        return f"{version} is installed already"
    as_root = [] if os.geteuid() == 0 else [_program("sudo", "root, or sudo")]
    print(f"apt-get install {package} ... ", end="", flush=True)
    apt_get = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "--no-install-recommends"]
    _output([*as_root, *apt_get, "install", package])
    return "installed"


_INSTALLERS: Final[Mapping[str, Callable[[], str]]] = {
    "wireguard-go": partial(_by_go, "golang.zx2c4.com/wireguard", "latest", "wireguard"),
    "tailscale": partial(
        _by_go,
        "github.com/tailscale/wireguard-go",
        "v0.0.0-20260928213032-417aef361226",
        "wireguard-go",
    ),
    "boringtun": partial(_by_cargo, "boringtun-cli"),
    "gotatun": partial(_by_cargo, "gotatun-cli"),
    "Debian's wireguard-go": partial(_by_apt, "wireguard-go"),
}


def _program(file: str, origin: str) -> str:
    folders = [*usual_folders(".cargo/bin"), *map(Path, _USUAL)]
    program = next(programs(file, folders), None)
    if program is None:
        raise NotInstalled(f"there is no {file} on this host; it comes with {origin}")
    return str(program)


def _output(command: Sequence[str]) -> str:
    """Return a command's output. Raises NotInstalled with the most telling line of it."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=Path.home(), timeout=INSTALL_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"it ended with status {done.returncode}"]
        errors = [line for line in lines if line.startswith(("error", "E:"))]
        raise NotInstalled((errors or lines[-1:])[0].strip())
    return done.stdout.strip()
