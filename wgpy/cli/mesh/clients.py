"""`wgpy mesh client`: devices with any WireGuard app, which enter the network by a node.

Invariant: a client's private key is made here, is shown once, and is stored in no file but the client's.
"""

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any, Final

from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.client_changes import changes
from wgpy.cli.mesh.client_destinations import bound, shown_destination
from wgpy.cli.mesh.client_endpoints import endpoint_of
from wgpy.cli.mesh.client_exits import exit_troubles
from wgpy.cli.mesh.client_files import ClientFile, Dns, Output, file_of
from wgpy.cli.mesh.output import columns, date, listed, report
from wgpy.cli.mesh.rules import publish_scopes
from wgpy.cli.network_documents import ClientList, ClientRow, NewClient, NewFile, RemovedClient, ShownClient
from wgpy.dns.zone import domain_of
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.addressing import client_address6, free_address
from wgpy.mesh.clients import ClientExclusion, Clients
from wgpy.mesh.links import destinations_of, selected_by
from wgpy.mesh.member import Member
from wgpy.mesh.reach import destinations, may_be_called, tunnelled
from wgpy.mesh.records import Client, End, Ingress, Network, client_selector
from wgpy.mesh.selectors import rule_text, shown_rule
from wgpy.mesh.topology import Topology

_FOR_LINUX: Final = IPv4Network("240.0.0.0/4")


def add(arguments: Namespace) -> None:
    asyncio.run(_add(arguments))


def list_clients(arguments: Namespace) -> None:
    asyncio.run(_list(arguments))


def show(arguments: Namespace) -> None:
    asyncio.run(_show(arguments))


def remove(arguments: Namespace) -> None:
    asyncio.run(_remove(arguments))


# -- Addition ----------------------------------------------------------------------------------------


async def _add(arguments: Namespace) -> None:
    output = Output.of(arguments)
    async with administrator(arguments) as admin:
        network, ends = charter(admin), bound(admin, arguments.to)
        topology = admin.topology.with_rules(admin.topology.rules, *ends)
        private = None if arguments.public_key else PrivateKey.generate()
        key = private.public_key() if private else arguments.public_key
        _check(admin, network, arguments.name, key)
        client = _new(admin, topology, arguments, key, ends)
        if trouble := next(exit_troubles(topology, client), ""):
            raise CommandError(trouble)
        is_called = may_be_called(topology, client)
        files = [
            ClientFile(
                _name(topology, ingress), ingress,
                file_of(
                    network, client, ingress, private, _dns(network, topology, ingress), is_called=is_called
                ),
            )
            for ingress in client.ingresses
        ]  # fmt: skip
        with output.written(files) as paths:
            await publish_scopes(admin, ends)
            await admin.publish(Client, **_fields(client))
        _warn(topology, client)
        to = [shown_destination(one, admin) for one in client.destinations]
    document: NewClient = {
        "client": client.name,
        "key": str(client.key),
        "to": to,
        "expires": client.expires,
        "files": [_document(file, paths.get(file.gateway, [])) for file in files],
    }
    _report_new(arguments, output, document, files, paths)


def _dns(network: Network, topology: Topology, ingress: Ingress) -> Dns:
    gateway = topology.member(ingress.gateway) if ingress.names else None
    if gateway is None:
        return Dns((), ())
    return Dns((str(gateway.address),), (domain_of(network.name),))


def _report_new(
    arguments: Namespace,
    output: Output,
    document: NewClient,
    files: list[ClientFile],
    paths: dict[str, list[str]],
) -> None:
    expires = f" until {date(document['expires'])}" if document["expires"] else ""
    to = listed(document["to"], "what rules allow")
    lines = [f"{document['client']} is a client{expires}, and may begin to {to}."]
    for file in files:
        place = f": {listed(paths[file.gateway])}" if file.gateway in paths else ""
        lines.append(f"By {file.gateway} it has {file.ingress.address} and {file.ingress.address6}{place}.")
    if arguments.json or not output.shows_text:
        report(arguments, document, "\n".join(lines))
    else:
        print(*lines, sep="\n", file=sys.stderr)
        print("\n".join(file.text for file in files), end="")
    if not arguments.json:
        for file in files:
            output.show(file)


def _document(file: ClientFile, paths: list[str]) -> NewFile:
    return {
        "gateway": file.gateway,
        "address": str(file.ingress.address),
        "address6": str(file.ingress.address6),
        "endpoint": file.ingress.endpoint,
        "paths": paths,
        "text": file.text,
    }


def _check(admin: Administrator, network: Network, name: str, key: PublicKey) -> None:
    """Raises CommandError."""
    if network.pool.overlaps(_FOR_LINUX) or network.addresses.overlaps(_FOR_LINUX):
        raise CommandError(f"{network.name} has addresses of {_FOR_LINUX}, which phones do not send to")
    topology = admin.topology
    if any(member.name == name for member in topology.members):
        raise CommandError(f"{name} is a node of {network.name}: choose another name for the client")
    if topology.site(name):
        raise CommandError(f"{name} is a site of {network.name}: choose another name for the client")
    if any(client.name == name for client in topology.clients):
        raise CommandError(
            f"{name} is a client already: choose another name, or `wgpy mesh client remove {name}`"
        )
    owners = {
        **{client.key: client.name for client in topology.clients},
        **{member.key: member.name for member in topology.members},
    }
    if key in owners:
        raise CommandError(f"{key} is the key of {owners[key]}: make another pair with `wgpy genkey`")


def _new(
    admin: Administrator, topology: Topology, arguments: Namespace, key: PublicKey, ends: Iterable[End]
) -> Client:
    """Return a client that may begin to these ends. Raises CommandError and NoSpace."""
    gateways = _gateways(admin, arguments)
    if arguments.endpoint and len(gateways) > 1:
        raise UsageError("--endpoint is for one gateway: give one --gateway, or add the client once for each")
    expires = int(time.time()) + arguments.expires if arguments.expires else 0
    draft = Client(
        network=admin.ledger.network, signer=admin.ledger.key, sequence=0, time=0, key=key,
        name=arguments.name, ingresses=(), destinations=tuple(end.rule_selector for end in ends),
        expires=expires, removed=False,
    )  # fmt: skip
    found = _ingresses(charter(admin), topology, draft, gateways, arguments)
    return replace(draft, ingresses=tuple(found))


def _gateways(admin: Administrator, arguments: Namespace) -> list[Member]:
    """Return those that were asked for, or this node. Raises CommandError."""
    topology = admin.topology
    names = dict.fromkeys(arguments.gateway) or dict.fromkeys(_this_node(arguments))
    members = {key: one for one in topology.members for key in (one.name, str(one.identity)) if key}
    for name in names:
        if name not in members:
            known = listed(sorted(one.name for one in topology.members if one.name), "none")
            raise CommandError(f"there is no node {name} to enter by; there are {known}")
    if not names:
        raise CommandError("this host is no node: say by which node the client enters, with --gateway NODE")
    return [members[name] for name in names]


def _this_node(arguments: Namespace) -> Iterator[str]:
    node = None if arguments.key else networks.node_file(networks.selected(arguments))
    if node is not None:
        yield str(node.identity.verify_key())


def _ingresses(
    network: Network, topology: Topology, client: Client, gateways: Iterable[Member], arguments: Namespace
) -> Iterator[Ingress]:
    """Raises CommandError and NoSpace."""
    taken = {*topology.addresses()}
    for gateway in gateways:
        address = free_address(network.addresses, taken, client.key)
        taken.add(address)
        yield Ingress(
            gateway=gateway.identity,
            address=address,
            address6=client_address6(network.addresses6, client.key, gateway.identity),
            key=gateway.key,
            endpoint=endpoint_of(gateway, arguments),
            prefixes=tuple(tunnelled(network, topology, client, gateway if arguments.dns else None)),
            names=arguments.dns,
        )


def _warn(topology: Topology, client: Client) -> None:
    if not destinations(topology, client):
        warn(f"no rule lets {client.name} begin to anything: `wgpy mesh allow --help`, or add it with --to")
    tags = {f"tag:{tag}" for member in topology.members for tag in member.tags}
    for end in destinations_of(client, topology.ends):
        if end.selector.startswith("tag:") and end.selector not in tags:
            warn(f"no node has {end.selector.replace(':', ' ')} yet")


# -- What there is -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A client with its state. excluded: why it is none, if so."""

    client: Client
    excluded: ClientExclusion | None

    def document(self, admin: Administrator) -> ClientRow:
        return {
            "name": self.client.name,
            "key": str(self.client.key),
            "in_force": self.excluded is None,
            "exclusion": self.excluded.value if self.excluded else "",
            "expires": self.client.expires,
            "to": [shown_destination(one, admin) for one in self.client.destinations],
            "gateways": [
                {
                    "name": _name(admin.topology, ingress),
                    "identity": str(ingress.gateway),
                    "address": str(ingress.address),
                    "address6": str(ingress.address6),
                    "endpoint": ingress.endpoint,
                }
                for ingress in self.client.ingresses
            ],
        }

    def cells(self, admin: Administrator) -> tuple[str, ...]:
        client = self.client
        return (
            client.name,
            listed(ingress.address for ingress in client.ingresses),
            listed(_name(admin.topology, ingress) for ingress in client.ingresses),
            listed((shown_destination(one, admin) for one in client.destinations), "what rules allow"),
            date(client.expires) if client.expires else "never",
            self.excluded.value if self.excluded else "valid",
        )


async def _list(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        rows = [row for row in _rows(admin) if arguments.all or row.excluded not in _OVER]
        document: ClientList = {"clients": [row.document(admin) for row in rows]}
        cells = [row.cells(admin) for row in rows]
    head = ("CLIENT", "ADDRESS", "GATEWAY", "TO", "EXPIRES", "STATE")
    report(arguments, document, columns([head, *cells]) if rows else "There is no client.")


_OVER: Final = (ClientExclusion.REMOVED, ClientExclusion.EXPIRED)


async def _show(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        row = _find(admin, arguments.name)
        changed = [] if row.excluded else list(changes(charter(admin), admin.topology, row.client))
        document: ShownClient = {**row.document(admin), "changed": changed}
        lines = columns(_about(row, admin))
    if changed:
        lines += "\n\nSince its file was made:\n" + "\n".join(f"  {line}" for line in changed)
        lines += f"\nFor a new file: `wgpy mesh client remove {row.client.name}`, and add it again."
    elif not row.excluded:
        lines += "\n\nIts file is right."
    report(arguments, document, lines)


def _about(row: Row, admin: Administrator) -> Iterator[tuple[str, str]]:
    client, cells = row.client, row.cells(admin)
    yield "client", f"{client.name}, {cells[5]}"
    yield "public key", str(client.key)
    for ingress in client.ingresses:
        yield "gateway", f"{_name(admin.topology, ingress)} at {ingress.endpoint}"
        yield "", f"{ingress.address} and {ingress.address6}"
        yield "", f"leads {listed(ingress.prefixes)} into the tunnel"
    yield "begins to", cells[3]
    yield "expires", cells[4]


async def _remove(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        client = _find(admin, arguments.name).client
        if client.removed:
            raise CommandError(f"{arguments.name} is removed already")
        rules = [rule_text(shown) for shown in _rules_for(admin, client)]
        gone = replace(client, ingresses=(), destinations=(), removed=True)
        await admin.publish(Client, **_fields(gone))
    text = f"{client.name} is removed: no node accepts its packets any more."
    if rules:
        text += f"\nRules for it, which are for no client from now on: {listed(rules)}."
    document: RemovedClient = {"removed": client.name, "key": str(client.key), "rules": rules}
    report(arguments, document, text)


def _rules_for(admin: Administrator, client: Client) -> Iterator[str]:
    topology, selector = admin.topology, client_selector(client.key)
    for rule, ends in zip(topology.rules, selected_by(topology.rules, topology.ends), strict=True):
        if selector in ends:
            yield shown_rule(rule, admin.names, topology.ends)


def _rows(admin: Administrator) -> list[Row]:
    records = admin.ledger.admin_records(Client).values()
    now = admin.ledger.judging_time(int(time.time()))
    excluded = Clients(charter(admin), admin.topology.members, records, now).excluded
    rows = [Row(client, excluded.get(client.key)) for client in records]
    return sorted(rows, key=lambda row: (row.excluded is not None, row.client.name))


def _find(admin: Administrator, name: str) -> Row:
    """Return the client of a name or a key, the one in force or else the newest. Raises CommandError."""
    rows = _rows(admin)
    found = [row for row in rows if name in (row.client.name, str(row.client.key))]
    if not found:
        known = listed((row.client.name for row in rows if row.excluded not in _OVER), "none")
        raise CommandError(f"there is no client {name}; there are {known}")
    return min(found, key=lambda row: (row.excluded is not None, -row.client.sequence))


def charter(admin: Administrator) -> Network:
    """Raises CommandError."""
    network = admin.ledger.charter()
    if network is None:
        raise CommandError("the coordinator does not send the network's record")
    return network


def _name(topology: Topology, ingress: Ingress) -> str:
    member = topology.member(ingress.gateway)
    return (member.name if member else "") or str(ingress.gateway)


def _fields(client: Client) -> dict[str, Any]:
    """Return what is a client's own."""
    names = ("key", "name", "ingresses", "destinations", "expires", "removed")
    return {name: getattr(client, name) for name in names}
