"""`wgpy mesh page`: serve the page of a network until Ctrl-C, and open it."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Page
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.mesh import audit, daemons, networks, tokens, why
from wgpy.cli.mesh.administrator import administrator
from wgpy.cli.mesh.local_rules import read_local
from wgpy.cli.mesh.output import date, report
from wgpy.cli.mesh.status import without_old
from wgpy.mesh.ports import ports_text
from wgpy.mesh.rule_matrix import Permission, matrix
from wgpy.node.agent_client import Status

from .server import PageServer
from .view import view

_PATIENCE: Final = 5.0  # seconds, for the coordinator
_NEWEST: Final = 100  # entries of the audit log
_OPENER: Final = "xdg-open"
_ABOUT_THE_LINK: Final = "Who has this link sees what this node knows, and can change nothing. Ctrl-C ends."


def page(arguments: Namespace) -> None:
    """Raises CommandError."""
    need_root("mesh page")
    network = networks.selected(arguments)
    place = served_at(arguments.listen, daemons.status(network))
    asyncio.run(_serve(arguments, network, *place))


def served_at(listen: tuple[str, int] | None, status: Status) -> tuple[str, int]:
    """Return where to listen, which is never an address of the underlying network. Raises UsageError."""
    address, port = listen or ("127.0.0.1", 0)
    try:
        given = ip_address(address)
    except ValueError:
        given = None
    if given and (given.is_loopback or given in (status.address, status.address6)):
        return str(given), port
    raise UsageError(
        f"the page is served to this host, at 127.0.0.1 or ::1, or to the mesh, at {status.address} or "
        f"{status.address6}, and `{address}` is none of these"
    )


async def _serve(arguments: Namespace, network: str, address: str, port: int) -> None:
    """Raises CommandError."""
    readers = _Readers(network)
    server = PageServer({
        "/state": readers.state, "/matrix": readers.matrix, "/why": readers.why, "/records": readers.records,
    })  # fmt: skip
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        async with server.listening(address, port) as link:
            document: Page = {"link": link}
            report(arguments, document, f"{link}\n\n{_ABOUT_THE_LINK}")
            sys.stdout.flush()
            with _browser(link) if arguments.open else nullcontext():
                await ended.wait()
    except OSError as error:
        raise CommandError(f"the page cannot be served at {address}, port {port}: {error.strerror}") from None


@contextmanager
def _browser(link: str) -> Iterator[None]:
    """Open a link for the user who called sudo, where there is a desktop.

    By a file that only the user can read: arguments of processes are seen by every user of a host.
    """
    opener = shutil.which(_OPENER)
    if not opener or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        yield
        return
    user = pwd.getpwuid(int(os.environ.get("SUDO_UID", os.getuid())))
    with TemporaryDirectory(prefix="wgpy-page-") as folder:
        file = Path(folder, "page.html")
        file.touch(0o600)
        file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={link}">\n')
        for path in (folder, file):
            os.chown(path, user.pw_uid, user.pw_gid)
        runtime = f"/run/user/{user.pw_uid}"
        process = subprocess.Popen(
            [opener, str(file)], user=user.pw_uid, group=user.pw_gid,
            extra_groups=os.getgrouplist(user.pw_name, user.pw_gid), start_new_session=True, cwd="/",
            env={**os.environ, "HOME": user.pw_dir, "USER": user.pw_name, "XDG_RUNTIME_DIR": runtime},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        yield
        process.poll()  # a browser that it became goes on


class _Readers:
    """What the page asks for. Each raises WgpyError."""

    def __init__(self, network: str) -> None:
        self._network = network
        self._trying = asyncio.Lock()

    async def state(self, _: Mapping[str, str]) -> dict[str, Any]:
        return await asyncio.to_thread(self._state)

    def _state(self) -> dict[str, Any]:
        status = without_old(daemons.status(self._network), int(time.time()))
        return {**view(status, networks.network_key(self._network))}

    async def matrix(self, _: Mapping[str, str]) -> dict[str, Any]:
        return await asyncio.to_thread(self._matrix)

    def _matrix(self) -> dict[str, Any]:
        node = networks.node_file(self._network)
        if node is None:
            raise CommandError(f"this host is no node of {self._network}")
        _, topology = read_local(self._network, node, int(time.time()))
        found = matrix(topology)
        return {
            "open": found.is_open,
            "groups": [group.names for group in found.groups],
            "permissions": [[list(map(_permission, cell)) for cell in row] for row in found.permissions],
        }

    async def why(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Try to reach `name`, one at a time whoever asks."""
        if not (name := query.get("name", "")):
            raise UsageError("there is no `name` to look for")
        async with self._trying:
            findings = await asyncio.to_thread(why.look, self._network, name)
        reachable = why.verdict(findings)
        return {**why.document(name, findings), "summary": why.summary(name, reachable)}

    async def records(self, _: Mapping[str, str]) -> dict[str, Any]:
        """Tokens and the audit log, which the coordinator gives to the holder of the network's key."""
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                administrator(Namespace(key=None, network=self._network)) as admin,
            ):
                found = await audit.entries(admin)
                return {
                    "tokens": tokens.document(admin, everything=False),
                    "audit": [
                        {**entry, "time": date(int(entry["time"]))} for entry in found[-_NEWEST:][::-1]
                    ],
                }
        except TimeoutError:
            raise CommandError(f"the coordinator of {self._network} does not answer") from None


def _permission(one: Permission) -> dict[str, Any]:
    within = ", ".join(map(str, one.end.prefixes))
    return {"number": one.number, "ports": ports_text(one.end.ports), "prefixes": within}
