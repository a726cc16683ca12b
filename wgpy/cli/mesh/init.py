"""`wgpy mesh init`: a network, its coordinator, and its first node, on this host.

Invariant: a command that fails half-way restores the host's former state.
"""

import asyncio
import json
import shlex
import shutil
import socket
import subprocess
import time
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from wgpy.address import HostPort
from wgpy.cli.changes import interruptible, need_root, quietly, warn
from wgpy.cli.documents import Init
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.host import Host
from wgpy.cli.launch import last_line, program
from wgpy.cli.mesh import daemons, free, join, networks, tokens
from wgpy.cli.mesh.administrator import Administrator
from wgpy.cli.mesh.output import report
from wgpy.mesh.addressing import choose_range6, choose_ranges
from wgpy.mesh.invitation import BY_NAME, Invitation
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Network, Token
from wgpy.mesh.signing import SigningKey
from wgpy.node.coordinator_client import Address, Coordinator, CoordinatorError
from wgpy.node.files import COORDINATORS, NetworkKeyFile, NodeFile

_DAY: Final = 86_400  # seconds
_HOUR: Final = 3_600
_EVERYWHERE: Final = ("0.0.0.0", "::")


def init(arguments: Namespace) -> None:
    """Raises CommandError, and whatever a step of it raises."""
    need_root("mesh init")
    host = Host(verbose=arguments.verbose)
    host.check_ip()
    _check(arguments)
    arguments = free.with_coordinator_port(free.with_interface_and_port(host, arguments))
    with interruptible(), ExitStack() as undo:
        _init(host, arguments, undo)
        undo.pop_all()


def _check(arguments: Namespace) -> None:
    """Raises CommandError for what cannot be begun."""
    if missing := [name for name in ("fastapi", "sqlalchemy") if find_spec(name) is None]:
        raise CommandError(
            f"a coordinator needs {', '.join(missing)}: install wgpy with its extra, as in `pip install "
            "'wgpy[coordinator]'`"
        )
    network = arguments.network
    for folder in (networks.folder(network), COORDINATORS / network):
        if folder.exists():
            raise CommandError(
                f"there is a network {network} on this host ({folder}); choose another name, or "
                f"`wgpy mesh leave --network {network}` and delete that folder"
            )
    if bool(arguments.certificate) != bool(arguments.certificate_key):
        raise UsageError("--certificate and --certificate-key belong together")


def _init(host: Host, arguments: Namespace, undo: ExitStack) -> None:
    network = arguments.network
    key, (addresses, pool) = SigningKey.generate(), _ranges(host, arguments.addresses)
    undo.callback(_delete, COORDINATORS / network)
    address = _create(host, arguments, key)
    local = _local_address(arguments, address)
    stop = daemons.start_coordinator(host, network, lambda: _answers(local, key))
    undo.callback(quietly, stop)

    path = networks.key_path(network)
    undo.callback(_delete, networks.folder(network))
    file = NetworkKeyFile(key, address.url, address.key_hash, sequence=0, used=int(time.time()))
    file.save(path)
    charter = {
        "name": network,
        "addresses": addresses,
        "addresses6": choose_range6(bytes(key.verify_key())),
        "pool": pool,
        "mtu": arguments.mtu,
    }
    first = asyncio.run(_publish_network(file, path, local, charter, arguments))
    join.become_node(host, first, _with_endpoint(arguments), "" if local == address else local.url)
    undo.callback(quietly, daemons.stop_node, host, network, NodeFile.load(path.parent))
    daemons.start_node(host, network)
    join.wait_until_known(network)
    second, made = asyncio.run(_invite(path, local))

    public = _answers(address, key)
    if not public:
        warn(
            f"{address.shown} does not answer from here: check that its TCP port {arguments.public.port} "
            "leads to this host"
        )
    document: Init = {
        "network": network,
        "network_key": str(key.verify_key()),
        "coordinator": address.url,
        "answers": public,
        "addresses": str(addresses),
        "addresses6": str(charter["addresses6"]),
        "pool": str(pool),
        "key_file": str(path),
        "token": second.text(),
    }
    text = f"""\
The network {network} is made.
  addresses of nodes        {addresses} and {charter["addresses6"]}
  pool for mapped sites     {pool}
  coordinator               {address.shown}
  network's key             {path}
The network's key controls the network: keep a copy of the file in a safe place.

Next, on another host:

{tokens.describe(second, made)}
`wgpy mesh token` makes tokens for more."""
    report(arguments, document, text)


def _ranges(host: Host, wanted: IPv4Network | None) -> tuple[IPv4Network, IPv4Network]:
    """Return the range for nodes and the pool. Raises CommandError and NoSpace."""
    used = _used(host)
    if wanted is None:
        return choose_ranges(used)
    for prefix in used:
        if wanted.overlaps(prefix):
            raise CommandError(f"{wanted} overlaps {prefix}, which this host is in or has a route to")
    return wanted, choose_ranges([*used, wanted])[1]


def _used(host: Host) -> list[IPv4Network]:
    """Return the IPv4 networks of this host's interfaces and routes."""
    addresses = [
        f"{found['local']}/{found['prefixlen']}"
        for link in host.query_ip("-4", "address")
        for found in link.get("addr_info", ())
    ]
    routes = [route["dst"] for route in host.query_ip("-4", "route", "show", "table", "all")]
    found = {IPv4Network(text, strict=False) for text in [*addresses, *routes] if text[0].isdecimal()}
    return sorted(prefix for prefix in found if prefix.prefixlen)


def _create(host: Host, arguments: Namespace, key: SigningKey) -> Address:
    """Run `wgmesh create`; return the address that nodes connect to. Raises CommandError."""
    command = [
        *program("wgmesh"), "create", arguments.network, str(key.verify_key()),
        f"--public={arguments.public}", f"--listen={_listen(arguments)}",
        f"--relay={HostPort('127.0.0.1', arguments.listen_port)}",
    ]  # fmt: skip
    if arguments.certificate:
        command += [f"--certificate={arguments.certificate}", f"--key={arguments.certificate_key}"]
    host.print_change(shlex.join(command))
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise CommandError(last_line(done.stderr).removeprefix("wgmesh: "))
    created = json.loads(done.stdout)
    return Address(created["url"], bytes.fromhex(created["key_hash"]))


def _listen(arguments: Namespace) -> HostPort:
    everywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"
    return arguments.listen or HostPort(everywhere, arguments.public.port)


def _local_address(arguments: Namespace, address: Address) -> Address:
    """Return the coordinator's address on this host, or the public one if its certificate has a name."""
    if address.key_hash == BY_NAME:
        return address
    listen = _listen(arguments)
    local = listen._replace(host="127.0.0.1") if listen.host in _EVERYWHERE else listen
    return replace(address, url=f"https://{local}")


def _answers(address: Address, key: SigningKey) -> bool:
    async def ask() -> None:
        async with Coordinator(address, key.verify_key()):
            pass

    with suppress(CoordinatorError):
        asyncio.run(ask())
        return True
    return False


async def _publish_network(
    file: NetworkKeyFile, path: Path, address: Address, charter: dict[str, Any], arguments: Namespace
) -> Invitation:
    """Publish the network's record, and make a token for its first node."""
    async with _administrator(file, path, address) as admin:
        await admin.publish(Network, **charter)
        made = tokens.make(admin, uses=1, expires=_HOUR, tags=arguments.tag, relay=arguments.relay)
        return (await made)[0]


async def _invite(path: Path, address: Address) -> tuple[Invitation, Token]:
    """Make a token for one more host."""
    async with _administrator(NetworkKeyFile.load(path), path, address) as admin:
        return await tokens.make(admin, uses=1, expires=_DAY)


@asynccontextmanager
async def _administrator(file: NetworkKeyFile, path: Path, address: Address) -> AsyncIterator[Administrator]:
    network = file.key.verify_key()
    async with Coordinator(address, network, file.key) as coordinator:
        yield Administrator(file, path, coordinator, Ledger(network))


def _with_endpoint(arguments: Namespace) -> Namespace:
    """Return the arguments with an endpoint made from --public, unless --endpoint is given."""
    public = HostPort(arguments.public.host, arguments.listen_port)
    return Namespace(**{**vars(arguments), "endpoint": arguments.endpoint or [public]})


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
