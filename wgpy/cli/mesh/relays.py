"""`wgpy mesh relay`: which nodes are relays."""

import asyncio
from argparse import Namespace

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.cli.mesh.output import columns, listed, report
from wgpy.cli.network_documents import RelayFields, Relays, RemovedRelay
from wgpy.mesh.member import Member
from wgpy.mesh.records import Relay


def add(arguments: Namespace) -> None:
    """Raises CommandError."""
    asyncio.run(_add(arguments))


def remove(arguments: Namespace) -> None:
    """Raises CommandError."""
    asyncio.run(_remove(arguments))


def list_relays(arguments: Namespace) -> None:
    asyncio.run(_list(arguments))


async def _add(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        member = _member(admin, arguments.name)
        if member.identity in admin.topology.relays:
            raise CommandError(f"{arguments.name} is a relay already")
        await admin.publish(Relay, key=member.identity, allowed=True)
    text = f"{member.name} is a relay: by it nodes reach each other that cannot do so directly."
    if not member.endpoints:
        text += f"\nIt publishes no endpoint: see `wgpy mesh status` on {member.name}."
    report(arguments, _json(member), text)


async def _remove(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        member = _member(admin, arguments.name)
        if member.identity not in admin.topology.relays:
            raise CommandError(f"{arguments.name} is no relay; `wgpy mesh relay list` shows those there are")
        await admin.publish(Relay, key=member.identity, allowed=False)
        left = [other.name for other in _relays(admin)]
    text = f"{member.name} is no relay any more. "
    text += f"These are left: {listed(left)}." if left else "There is none left."
    document: RemovedRelay = {**_json(member), "left": left}
    report(arguments, document, text)


async def _list(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        relays = _relays(admin)
    rows = [(one.name, str(one.address), listed(map(str, one.endpoints))) for one in relays]
    text = columns([("RELAY", "ADDRESS", "ENDPOINTS"), *rows]) if rows else (
        "There is no relay: `wgpy mesh relay add NODE` makes one of a node that all others reach by UDP."
    )  # fmt: skip
    document: Relays = {"relays": [_json(member) for member in relays]}
    report(arguments, document, text)


def _member(admin: Administrator, name: str) -> Member:
    """Raises CommandError."""
    node = admin.node(name)
    member = admin.topology.member(node.signer)
    if member is None:
        raise CommandError(f"{node.name} is no member: {admin.topology.excluded[node.signer].value}")
    return member


def _relays(admin: Administrator) -> list[Member]:
    topology = admin.topology
    return [member for member in topology.members if member.identity in topology.relays]


def _json(member: Member) -> RelayFields:
    return {
        "name": member.name,
        "identity": str(member.identity),
        "address": str(member.address),
        "endpoints": list(map(str, member.endpoints)),
    }
