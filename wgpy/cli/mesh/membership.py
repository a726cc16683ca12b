"""How a host becomes a member of a network.

Invariant: the identity of this host is on disk before it is submitted, so an interrupted join continues where
it was. The host is a member once the records that concern it are on disk, too.
"""

import asyncio
import random
import re
import socket
import time
from argparse import Namespace
from collections.abc import Container, Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import count, islice
from typing import Final
from urllib.parse import urlsplit

from wgpy.address import HostPort
from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.ranges import check_ranges
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey
from wgpy.mesh.addressing import free_address
from wgpy.mesh.clock import differ, written
from wgpy.mesh.invitation import Invitation
from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.records import Network, admit, network_id
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.wire import deltas
from wgpy.node.coordinator_client import Address, Coordinator, Denied, Welcome
from wgpy.node.files import Journal, NodeFile, StorageError
from wgpy.node.names import addresses_of, describe
from wgpy.node.proxy import proxy_url
from wgpy.node.underlay import MARK

_TRIES: Final = 64  # of hosts that join at once under one name, as many as get in whatever happens
_ORDERLY_TRIES: Final = 4  # in which the next name is taken; later ones draw from more and more
_PATIENCE: Final = 3.0  # seconds
_PAUSE: Final = 0.1  # the first; each is twice the one before, as the coordinator lists all records each time
_JOURNAL: Final = "records.jsonl"
_NAME_LENGTH: Final = 60  # leaves room for a number


def begun(invitation: Invitation) -> str:
    """Return the network that this host has begun to join by the invitation, or "". Raises StorageError."""
    for network in networks.known():
        node = networks.node_file(network)
        if node is not None and node.network == invitation.network:
            return network
    return ""


def is_complete(network: str) -> bool:
    """Return whether a host that has begun to join has become a member."""
    return (networks.folder(network) / _JOURNAL).exists()


def forget(network: str) -> None:
    """Delete what this host is in a network; the network's key stays. Raises StorageError."""
    folder = networks.folder(network)
    try:
        for name in ("node.json", _JOURNAL):
            (folder / name).unlink(missing_ok=True)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise StorageError(f"{folder} cannot be deleted: {error.strerror}") from None


async def become(invitation: Invitation, arguments: Namespace, near: str) -> str:
    """Make this host a member; the network's name. near: as in a coordinator's address.

    Raises CommandError, CoordinatorError and StorageError; what was refused leaves nothing behind.
    """
    network = begun(invitation)
    node = networks.node_file(network) if network else None
    if node is not None and node.token == invitation.token.verify_key():
        async with Coordinator(node.coordinator, node.network) as coordinator:
            reason = await _submit(coordinator, network, node)
    else:
        network, reason = await _apply(invitation, arguments, near)
    if reason:
        raise Denied(reason)
    await _learn(network)
    return network


async def wait_until_known(network: str) -> None:
    """Wait until the coordinator has endpoints of this host; not for long, as it may have none."""
    node = NodeFile.load(networks.folder(network))
    end, pause = time.monotonic() + _PATIENCE, _PAUSE
    async with Coordinator(node.coordinator, node.network, node.identity) as coordinator:
        while time.monotonic() < end:
            nodes = read_ledger(node.network, await coordinator.records()).nodes()
            if any(known.signer == node.identity.verify_key() and known.endpoints for known in nodes):
                return
            await asyncio.sleep(pause)
            pause *= 2


async def _apply(invitation: Invitation, arguments: Namespace, near: str) -> tuple[str, str]:
    """Ask to be admitted under a name and an address that nobody has; the network, and why not."""
    network_key, token = invitation.network, invitation.token
    address = Address(invitation.url, invitation.coordinator, near, arguments.fwmark or MARK)
    identity, endpoints = SigningKey.generate(), await _resolved(arguments.endpoint, address.mark)
    async with Coordinator(address, network_key, token) as coordinator:
        admitted = admission_time(int(time.time()), coordinator.ahead)
        node = NodeFile(
            network=network_key,
            url=invitation.url,
            key_hash=invitation.coordinator,
            interface=arguments.interface,
            listen_port=arguments.listen_port,
            identity=identity,
            key=PrivateKey.generate(),
            token=token.verify_key(),
            admitted=admitted,
            admission=admit(token, network_id(network_key), identity.verify_key(), admitted),
            name=arguments.name or "",
            address=IPv4Address(0),
            routes=tuple(arguments.routes),
            endpoints=endpoints,
            hosts=tuple(map(str, arguments.endpoint)),
            near=near,
            keepalive=arguments.keepalive,
            table=arguments.table,
            fwmark=arguments.fwmark,
            dns=arguments.dns,
            port_mapping=arguments.port_mapping,
            proxy=proxy_url(urlsplit(invitation.url).hostname or ""),
        )
        network, reason = "", "the coordinator gives the same names and addresses to others"
        for attempt in range(_TRIES):
            welcome = await coordinator.welcome()
            if node.address not in welcome.addresses and node.name not in welcome.names and network:
                break  # that was not why it was refused
            charter = _charter(network_key, welcome)
            network = _free_folder(charter.name)
            await check_ranges(Host(), charter, node.coordinator)
            node = replace(
                node,
                name=_free_name(arguments.name, welcome.names, attempt),
                address=free_address(charter.addresses, welcome.addresses, identity.verify_key()),
            )
            reason = await _submit(coordinator, network, node)
            if not reason:
                break
        return network, reason


def admission_time(now: int, ahead: int | None) -> int:
    """Return when this host joins, Unix seconds: by the coordinator's clock, as its own may be unset.

    now: by this host's clock; ahead: as in `Coordinator`.
    """
    if ahead is not None and differ(ahead, 0):
        warn(
            f"this host's clock says {written(now)} and the coordinator's {written(now - ahead)}: set the "
            "one that is wrong, as a node judges by its own clock which memberships have expired"
        )
    return now - (ahead or 0)


async def _resolved(hosts: Iterable[HostPort], mark: int) -> tuple[Endpoint, ...]:
    """Return an endpoint of each host; the agent resolves names again, so one may not exist yet."""
    endpoints = []
    for host in hosts:
        try:
            endpoints.append(Endpoint((await addresses_of(host, mark))[0], host.port))
        except OSError as error:
            warn(f"the endpoint {host} cannot be resolved: {describe(error)}; the node tries again")
    return tuple(endpoints)


async def _submit(coordinator: Coordinator, network: str, node: NodeFile) -> str:
    """Submit this host's record; why it is rejected, or "". What is rejected is forgotten."""
    node, signed = node.signed(node.endpoints)
    node.save(networks.folder(network))
    (outcome,) = await coordinator.submit([signed])
    if outcome.verdict != "refused":
        return ""
    forget(network)
    return outcome.reason


async def _learn(network: str) -> None:
    """Write down all that concerns this host, so that it needs nobody from now on."""
    folder = networks.folder(network)
    node = NodeFile.load(folder)
    async with Coordinator(node.coordinator, node.network, node.identity) as coordinator:
        records = await coordinator.records()
    journal = Journal(folder)
    for delta in deltas(0, 0, list(read_ledger(node.network, records))):
        journal.append(delta)


def read_ledger(network: VerifyKey, records: Iterable[Signed]) -> Ledger:
    """Verify records of a coordinator; one that is rejected is left out with a warning."""
    ledger = Ledger(network)
    for signed in records:
        try:
            ledger.add(signed)
        except RecordRejected as refusal:
            warn(f"rejected a record of the coordinator: {refusal}")
    return ledger


def _charter(network: VerifyKey, welcome: Welcome) -> Network:
    """Raises CommandError."""
    charter = read_ledger(network, welcome.records).charter()
    if charter is None:
        raise CommandError("the coordinator does not send the network's record; ask its administrator")
    return charter


def _free_folder(network: str) -> str:
    """Return the network's name unless this host is in another one of that name. Raises CommandError."""
    if (networks.folder(network) / "node.json").exists() and is_complete(network):
        raise CommandError(
            f"this host is in another network {network}; "
            f"`wgpy mesh leave --network {network}` takes it out of that"
        )
    return network


def _free_name(wanted: str | None, taken: Container[str], attempt: int) -> str:
    """Return the wanted name, or one made from that of the host. Raises CommandError.

    attempt: how often another host was faster. Of many that join at once one is the fastest each time, so the
    others soon draw different names.
    """
    if wanted:
        if wanted in taken:
            raise CommandError(f"another node is called {wanted}; choose another name with --name")
        return wanted
    hostname = clean_name(socket.gethostname())
    names = (hostname if number == 1 else f"{hostname}-{number}" for number in count(1))
    free = (name for name in names if name not in taken)
    return random.choice(list(islice(free, min(_TRIES, 1 << max(0, attempt - _ORDERLY_TRIES)))))


def clean_name(hostname: str) -> str:
    """Return what of a host's name may name a node."""
    name = re.sub("[^a-z0-9]+", "-", hostname.partition(".")[0].lower()).strip("-")
    return name[:_NAME_LENGTH].rstrip("-") or "node"
