"""`wgpy mesh leave`: this host's node ceases to be a member, and its files are deleted."""

import asyncio
import time
from argparse import Namespace

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Leave
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.mesh import daemons, membership, networks
from wgpy.cli.mesh.dependents import Dependents
from wgpy.cli.mesh.local_rules import local_rules, read_local
from wgpy.cli.mesh.output import listed, report
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import AgentError
from wgpy.node.coordinator_client import Coordinator, CoordinatorError, Denied
from wgpy.node.files import COORDINATORS, NodeFile


def leave(arguments: Namespace) -> None:
    """Raises CommandError and StorageError."""
    need_root("mesh leave")
    network = networks.selected(arguments)
    node = daemons.needed_node(network)
    now, identity = int(time.time()), node.identity.verify_key()
    rules = local_rules(network, node, now).bound
    dependents = Dependents.of(read_local(network, node, now)[1], {identity})
    is_published = _publish_departure(network, node, force=arguments.force)
    daemons.stop_node(Host(verbose=arguments.verbose), network, node)
    membership.forget(network)
    lines = [f"This host has left {network}."]
    if not is_published:
        lines.append(f"The other nodes treat it as a member until `wgpy mesh remove {node.name}`.")
    if networks.key_path(network).exists():
        lines.append(f"The network's key is still here: {networks.key_path(network)}.")
    if (COORDINATORS / network).exists():
        lines.append("The coordinator still runs here.")
    if rules:
        lines.append(f"Rules for it, which are for no node from now on: {listed(rules)}.")
    lines += dependents.lines()
    document: Leave = {
        "network": network,
        "name": node.name,
        "told": is_published,
        "rules": list(rules),
        **dependents.document(),
    }
    report(arguments, document, "\n".join(lines))


def _publish_departure(network: str, node: NodeFile, *, force: bool) -> bool:
    """Publish the departure; return whether the coordinator has it. Raises CommandError unless force."""
    try:
        if daemons.runs(network):
            agent.leave(network)
        else:
            asyncio.run(_submit_departure(node))
    except (AgentError, CoordinatorError) as error:
        if not force:
            raise CommandError(f"{error}; `wgpy mesh leave --force` leaves without the coordinator") from None
        return False
    return True


async def _submit_departure(node: NodeFile) -> None:
    """Raises CoordinatorError."""
    async with Coordinator(node.coordinator, node.network) as coordinator:
        (outcome,) = await coordinator.submit([node.departure()])
    if outcome.verdict == "refused":
        raise Denied(outcome.reason)
