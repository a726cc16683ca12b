"""`wgpy mesh rename`, `node-list` and `remove`: the nodes of a network."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Rename
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import daemons, networks, tokens
from wgpy.cli.mesh.administrator import administrator
from wgpy.cli.mesh.dependents import Dependents
from wgpy.cli.mesh.local_rules import local_rules
from wgpy.cli.mesh.membership import read_ledger
from wgpy.cli.mesh.output import ENDED_SHOWN, columns, listed, report, since
from wgpy.cli.network_documents import NodeRow, Nodes, Removed
from wgpy.mesh.admission import Exclusion
from wgpy.mesh.endings import OVER, exclusion_text, membership_ended
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.member import Member
from wgpy.mesh.records import Node, Removal, Token
from wgpy.mesh.selectors import naming, rule_text, shown_rule
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import derive
from wgpy.node import agent_client as agent
from wgpy.node.coordinator_client import Coordinator, Health


def rename(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    need_root("mesh rename")
    network = networks.selected(arguments)
    old = daemons.status(network).name
    before = local_rules(network, daemons.needed_node(network), int(time.time()))
    agent.rename(network, arguments.name)
    lines = [f"This node was {old} and now is {arguments.name}."]
    if before.bound:
        lines.append(f"Rules for it, which stay so: {listed(before.bound)}.")
    if before.by_name:
        lines.append(
            f"Rules for the name {old}, which are no longer for this node: {listed(before.by_name)}."
        )
    document: Rename = {
        "network": network,
        "old": old,
        "new": arguments.name,
        "rules": list(before.bound),
        "lost_rules": list(before.by_name),
    }
    report(arguments, document, "\n".join(lines))


def remove(arguments: Namespace) -> None:
    asyncio.run(_remove(arguments))


def node_list(arguments: Namespace) -> None:
    ledger, health = asyncio.run(_read(arguments))
    rows = list(rows_of(ledger, health))
    if not arguments.all:
        rows = list(without_old(rows, ledger, int(time.time())))
    document: Nodes = {"nodes": [row.document() for row in rows]}
    report(arguments, document, table(rows))


def table(rows: Sequence["Row"]) -> str:
    """Return the nodes for people, what expired and when, and what to do about clones."""
    head = ("NODE", "ADDRESS", "STATE", "SEEN FROM", "TAGS", "ROUTES", "ASKS FOR")
    return "\n".join([columns([head, *(row.cells() for row in rows)]), *_expired(rows), *_clones(rows)])


def without_old(rows: Iterable["Row"], ledger: Ledger, now: int) -> Iterator["Row"]:
    """Leave out nodes whose membership ended long ago; a departure has no time. now: Unix seconds."""
    for row in rows:
        reason = row.exclusion
        if reason not in OVER or membership_ended(ledger, row.node.signer, reason) >= now - ENDED_SHOWN:
            yield row


async def _remove(arguments: Namespace) -> None:
    async with administrator(arguments) as admin:
        node = admin.node(arguments.name)
        if admin.topology.excluded.get(node.signer) is Exclusion.REMOVED:
            raise CommandError(f"{arguments.name} is removed already")
        if node.signer == _local_identity(arguments):
            raise CommandError(f"{arguments.name} is this node; `wgpy mesh leave` takes it out")
        dependents = Dependents.of(admin.topology, {node.signer})
        await admin.publish(Removal, identity=node.signer)
        token = admin.ledger.admin_records(Token)[bytes(node.token)]
        is_open = tokens.state(admin, token) == "valid"
        topology = admin.topology
        rules = [
            rule_text(shown_rule(rule, admin.names, topology.ends))
            for rule in naming(topology.rules, node.signer, topology.ends)
        ]
    text = "\n".join([f"{node.name} is removed: no node accepts its packets any more.", *dependents.lines()])
    if rules:
        text += (
            f"\nRules for it, which are for no node from now on: {listed(rules)}. `wgpy mesh disallow` takes "
            "them back."
        )
    if is_open:
        text += (
            f"\nThe token that admitted {node.name} still admits hosts. If somebody else may have it: "
            f"`wgpy mesh revoke {str(token.key)[:8]}`."
        )
    document: Removed = {
        "removed": node.name,
        "identity": str(node.signer),
        "token": str(token.key),
        "open": is_open,
        "rules": rules,
        **dependents.document(),
    }
    report(arguments, document, text)


def _local_identity(arguments: Namespace) -> VerifyKey | None:
    """Return the identity of this host's node in the network, unless --key names another network's key."""
    node = None if arguments.key else networks.node_file(networks.selected(arguments))
    return node.identity.verify_key() if node else None


async def _read(arguments: Namespace) -> tuple[Ledger, list[Health]]:
    """Read all records with the network's key, or else those that concern this node with its identity."""
    network = "" if arguments.key else networks.selected(arguments)
    node = networks.node_file(network) if network else None
    if node is None or networks.key_path(network).exists():
        async with administrator(arguments) as admin:
            return admin.ledger, await admin.coordinator.nodes()
    async with Coordinator(node.coordinator, node.network, node.identity) as coordinator:
        return read_ledger(node.network, await coordinator.records()), await coordinator.nodes()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    member: None if the node is not a member; health: None if unknown; why: it is no member, with both times
    if that is because of a time.
    """

    node: Node
    member: Member | None
    exclusion: Exclusion | None
    health: Health | None
    why: str = ""

    @property
    def state(self) -> str:
        if self.exclusion is not None:
            return self.exclusion.value
        if self.health is None:
            return "unknown"
        if self.health.cloned:
            return "several hosts, see below"
        return "connected" if self.health.connected else f"last heard {since(self.health.heard)}"

    def cells(self) -> tuple[str, ...]:
        return (
            (self.member.name if self.member else self.node.name) or str(self.node.signer),
            str(self.node.address),
            self.state,
            (self.health.seen if self.health else "") or "-",
            listed(sorted(self.member.tags) if self.member else ()),
            listed(self.member.announced if self.member else ()),
            listed(self.member.requested if self.member else self.node.routes),
        )

    def document(self) -> NodeRow:
        member, health = self.member, self.health
        return {
            "name": member.name if member else self.node.name,
            "identity": str(self.node.signer),
            "key": str(self.node.key),
            "address": str(self.node.address),
            "address6": str(member.address6) if member else None,
            "member": member is not None,
            "exclusion": self.exclusion.value if self.exclusion else "",
            "connected": health.connected if health else False,
            "heard": health.heard if health else 0,
            "seen": health.seen if health else "",
            "cloned": health.cloned if health else False,
            "admitted": self.node.admitted,
            "token": str(self.node.token),
            "tags": sorted(member.tags) if member else [],
            "routes": list(map(str, member.announced)) if member else [],
            "requested": list(map(str, member.requested if member else self.node.routes)),
            "endpoints": list(map(str, self.node.endpoints)),
        }


def _expired(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.exclusion and row.why != row.exclusion.value:
            yield f"{row.node.name} is no member: {row.why}."


def _clones(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.health is not None and row.health.cloned:
            name = row.node.name
            yield (
                f"{name} is several hosts with one identity: one is a copy. `wgpy mesh remove {name}`, and "
                "join each host by itself."
            )


def rows_of(ledger: Ledger, health: Sequence[Health]) -> Iterator[Row]:
    """Yield members first, by name."""
    now = int(time.time())
    topology = derive(ledger, now)
    members = {member.identity: member for member in topology.members}
    healths = {found.identity: found for found in health}
    for node in sorted(ledger.nodes(), key=lambda node: (node.signer not in members, node.name)):
        identity, reason = node.signer, topology.excluded.get(node.signer)
        why = exclusion_text(ledger, node, reason, now) if reason else ""
        yield Row(node, members.get(identity), reason, healths.get(identity), why)
