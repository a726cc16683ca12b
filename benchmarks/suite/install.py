"""Installation of the peers to compare with, each by its package manager."""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.suite.implementations import (
    LAB_SOCKS5,
    LAB_TAILSCALE,
    NEBULA,
    go_build,
    programs,
    usual_folders,
)

INSTALL_TIMEOUT: Final = 1800  # seconds for one to be fetched and built
_LAB: Final = Path(__file__).parents[1] / "nat/lab_tailscale"
# What a node of a lab does not do. Its modules take minutes to build, and not all of them are to be had.
_LAB_OMITS: Final = (
    "ace", "acme", "appconnectors", "aws", "bird", "capture", "clientupdate", "cloud", "completion",
    "completion_scripts", "conn25", "dbus", "desktop_sessions", "doctor", "drive", "gro", "hujsonconf",
    "identityfederation", "kube", "logtail", "netstack", "networkmanager", "oauthkey", "posture",
    "qrcodes", "resolved", "sdnotify", "serve", "ssh", "synology", "systray", "syspolicy", "taildrop",
    "tailnetlock", "tap", "tpm", "wakeonlan", "webbrowser", "webclient",
)  # fmt: skip
_SOCKS5_NEEDS: Final = ("gro", "netstack")
_TAILSCALED: Final = "tailscale.com/cmd/tailscaled"
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


def _by_go(module: str, version: str, *files: str, folder: str = "") -> str:
    """Install Go programs, and return what was done. Raises NotInstalled.

    folder: of the module, that has the programs' folders; "" if its only program is the module itself.
    """
    go = _go()
    wanted = _output([go, "list", "-m", "-f", "{{.Version}}", f"{module}@{version}"]).splitlines()[-1]
    here = {program: None for file in files for program in programs(file, usual_folders("go/bin"))}
    built = [program for program in here if go_build(program) == (module, wanted)]
    if {program.name for program in built} == set(files):
        return f"{wanted} is installed already: {', '.join(map(str, built))}"
    print(f"go install {module}@{wanted} ... ", end="", flush=True)
    packages = [f"{module}/{folder}/{file}" for file in files] if folder else [module]
    _output([go, "install", *(f"{package}@{wanted}" for package in packages)])
    return "installed"


def _lab_tailscale() -> str:
    """Build Tailscale's node and what nodes need, and return what was done. Raises NotInstalled."""
    return _build_lab({LAB_TAILSCALE[0]: ("-tags", _tags(_LAB_OMITS), _TAILSCALED), LAB_TAILSCALE[1]: (".",)})


def _lab_socks5() -> str:
    """Build Tailscale's node once more, with its userspace network. Raises NotInstalled."""
    omitted = (one for one in _LAB_OMITS if one not in _SOCKS5_NEEDS)
    return _build_lab({LAB_SOCKS5: ("-tags", _tags(omitted), _TAILSCALED)})


def _build_lab(builds: Mapping[str, Sequence[str]]) -> str:
    """builds: arguments of `go build` by program, a node's first. Raises NotInstalled."""
    go, bin_ = _go(), Path.home() / "go/bin"
    print("go build tailscale.com/cmd/tailscaled, which takes minutes ... ", end="", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(_LAB, folder, dirs_exist_ok=True)  # go writes into it what modules it found
        for file, build in builds.items():
            command = ("env", "GOTOOLCHAIN=auto", "CGO_ENABLED=0", go, "build", "-mod=mod", "-trimpath")
            _output([*command, "-ldflags=-s -w", "-o", str(bin_ / file), *build], Path(folder))
    return f"{go_build(bin_ / next(iter(builds)))[1]} is installed"


def _tags(omitted: Iterable[str]) -> str:
    return ",".join(["ts_include_cli", *(f"ts_omit_{one}" for one in omitted)])


def _go() -> str:
    return _program("go", "Go: https://go.dev/dl, or apt-get install golang-go")


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
    "onetun": partial(_by_cargo, "onetun"),
    "Debian's wireguard-go": partial(_by_apt, "wireguard-go"),
    "tailscaled": _lab_tailscale,
    "tailscaled-socks5": _lab_socks5,
    "nebula": partial(_by_go, "github.com/slackhq/nebula", "v1.10.3", *NEBULA, folder="cmd"),
}


def _program(file: str, origin: str) -> str:
    folders = [*usual_folders(".cargo/bin"), *map(Path, _USUAL)]
    program = next(programs(file, folders), None)
    if program is None:
        raise NotInstalled(f"there is no {file} on this host; it comes with {origin}")
    return str(program)


def _output(command: Sequence[str], folder: Path | None = None) -> str:
    """Return a command's output. Raises NotInstalled with the most telling line of it."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=folder or Path.home(), timeout=INSTALL_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    if done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"it ended with status {done.returncode}"]
        errors = [line for line in lines if line.startswith(("error", "E:"))]
        raise NotInstalled((errors or lines[-1:])[0].strip())
    return done.stdout.strip()
