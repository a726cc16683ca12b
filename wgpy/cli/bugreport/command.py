"""`wgpy bugreport`: asks this host, takes out what is secret, and writes one file."""

import os
import platform
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import wgpy
from wgpy.cli import show
from wgpy.cli.changes import need_root
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.output import count
from wgpy.cli.mesh.status import text as status_text
from wgpy.contract.errors import WgpyError
from wgpy.node import agent_client as agent
from wgpy.uapi import client as uapi

from .redaction import Redaction, without_tokens

_TIMEOUT: Final = 10.0  # seconds for each command
_MOST: Final = 200_000  # characters of each section, of which the last are kept
_LOG_LINES: Final = 500
_PACKAGES: Final = ("cryptography", "pynacl", "cffi", "h11", "dnspython", "python-pytun", "uvloop", "fastapi")
_FILES: Final = (
    "/etc/os-release",
    "/etc/resolv.conf",
    "/proc/cpuinfo",
    "/proc/net/snmp",
    "/proc/net/softnet_stat",
)
_SETTINGS: Final = (
    "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter", "net.core.rmem_max",
    "net.core.wmem_max", "net.ipv4.tcp_congestion_control", "net.ipv6.conf.all.disable_ipv6",
    "kernel.unprivileged_userns_clone", "user.max_user_namespaces",
)  # fmt: skip
_WITH_ADDRESSES: Final = """\
It has addresses and public keys of this host and its network, but no secret key and no token.
Read it before you send it."""
_WITHOUT: Final = """\
Keys, tokens, addresses and names of hosts are left out: each is a word with a number, as [public4 1].
Names of nodes, sites, tags and interfaces are in it. Read it before you send it."""
_COMMANDS: Final = (
    ("links and their offloads", ("ip", "-details", "-statistics", "link")),
    ("addresses", ("ip", "address")),
    ("rules, IPv4", ("ip", "-4", "rule")),
    ("rules, IPv6", ("ip", "-6", "rule")),
    ("routes, IPv4", ("ip", "-4", "route", "show", "table", "all")),
    ("routes, IPv6", ("ip", "-6", "route", "show", "table", "all")),
    ("sockets of UDP", ("ss", "--udp", "--all", "--numeric", "--processes")),
    ("firewall", ("nft", "list", "ruleset")),
    ("settings of the kernel", ("sysctl", "--ignore", *_SETTINGS)),
    ("units", ("systemctl", "--no-pager", "status", "wgpyd-mesh@*", "wgmesh@*", "wgpy@*")),
    ("log", ("journalctl", "--no-pager", "--no-hostname", f"--lines={_LOG_LINES}", "--unit=wgpyd-mesh@*",
             "--unit=wgmesh@*", "--unit=wgpy@*")),
)  # fmt: skip


def bugreport(arguments: Namespace) -> None:
    """Raises CommandError."""
    need_root("bugreport")
    sections = list(_sections())
    text = "\n".join(f"== {title}\n\n{content.rstrip()}\n" for title, content in sections)
    content = without_tokens(text) if arguments.with_addresses else Redaction(_hosts()).of(text)
    head = _WITH_ADDRESSES if arguments.with_addresses else _WITHOUT
    path = Path(arguments.file or f"wgpy-bugreport-{time.strftime('%Y%m%d-%H%M%S')}.txt")
    try:
        path.touch(0o600)
        path.write_text(f"{head}\n{content}")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    print(f"{path}: {count(len(sections), 'section')}: {', '.join(title for title, _ in sections)}.\n{head}")


def _sections() -> Iterator[tuple[str, str]]:
    yield "versions", "\n".join(_versions())
    yield (
        "environment",
        "\n".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if "WG" in name),
    )
    for network in networks.known():
        with suppress(WgpyError):
            yield f"network {network}", _status(network)
    yield "interfaces", _interfaces()
    for title, command in _COMMANDS:
        yield title, _output(command)
    for path in _FILES:
        with suppress(OSError):
            yield path, Path(path).read_text(errors="replace")[:_MOST]


def _versions() -> Iterator[str]:
    yield f"wgpy {metadata.version('wgpy')}, {Path(wgpy.__file__).parent}"
    yield f"Python {sys.version}"
    yield f"{platform.system()} {platform.release()} {platform.version()}, {platform.machine()}"
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            yield f"{package} {metadata.version(package)}"
    try:
        import_module("wgpy._fastpath")
    except ImportError as error:
        yield f"the data path in C cannot be loaded: {error}"


def _status(network: str) -> str:
    return status_text(agent.status(network), networks.network_key(network))


def _interfaces() -> str:
    texts = []
    for name in uapi.interfaces():
        with suppress(WgpyError):
            texts.append(show.text(name, uapi.get(name), time.time_ns(), show_keys=False))
            texts.append(show.counters_text(name, uapi.counters(name)))
    return "\n\n".join(texts)


def _hosts() -> Iterator[str]:
    """Give names that stand for an address of this network."""
    for network in networks.known():
        with suppress(WgpyError):
            status = agent.status(network)
            yield urlsplit(status.coordinator).hostname or ""
            yield from (host.rpartition(":")[0] for host in status.hosts)


def _output(command: tuple[str, ...]) -> str:
    """Return what a command says, or that it is not there: no bug is worth a failure of the report."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=_TIMEOUT, check=False, text=True, errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {_TIMEOUT:.0f} s"
    return done.stdout[-_MOST:]
