"""`wgpy mesh join`: this host becomes a node, and its daemon runs."""

import asyncio
from argparse import Namespace
from contextlib import nullcontext, suppress

from wgpy.cli.changes import need_root, warn
from wgpy.cli.documents import Join
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.launch import Launch
from wgpy.cli.mesh import ahead, daemons, free, membership
from wgpy.cli.mesh.output import count, listed, report
from wgpy.cli.mesh.token_input import read_invitation
from wgpy.mesh.invitation import Invitation
from wgpy.node.coordinator_client import CoordinatorError, Unreachable


def join(arguments: Namespace) -> None:
    """Raises CommandError, AgentError, CoordinatorError and StorageError."""
    invitation = read_invitation(arguments)
    need_root("mesh join")
    host = Host(verbose=arguments.verbose)
    host.check_ip()
    if not arguments.start:
        _print_member(become_node(host, invitation, arguments), arguments)
        return
    with ahead.begun() or nullcontext() as begun:
        network = become_node(host, invitation, arguments)
        start(host, network, begun)
    wait_until_known(network)
    print_status(network, arguments)


def _print_member(network: str, arguments: Namespace) -> None:
    """Print what this host is now, while no agent can tell. Raises CommandError."""
    node = daemons.needed_node(network)
    document: Join = {"network": network, "name": node.name, "address": str(node.address)}
    report(
        arguments,
        document,
        f"This host is {node.name} in {network}: {node.address}; `wgpyd --mesh={network}` starts it.",
    )


def become_node(host: Host, invitation: Invitation, arguments: Namespace, near: str = "") -> str:
    """Make this host a member, or resume an interrupted join; return the network's name.

    near: as in a coordinator's address.
    """
    network = membership.begun(invitation)
    if network and membership.is_complete(network):
        if daemons.runs(network):
            raise CommandError(
                f"this host is in {network} already; `wgpy mesh leave --network {network}` takes it out"
            )
        return network
    if not network:
        arguments = free.with_interface_and_port(host, arguments)
    try:
        return asyncio.run(membership.become(invitation, arguments, near))
    except Unreachable as error:
        raise CommandError(f"{error}; when it does, run the same command again") from None


def start(host: Host, network: str, begun: Launch | None = None) -> None:
    """begun: the start of its daemon, if that was begun. Raises CommandError."""
    try:
        daemons.start_node(host, network, begun)
    except CommandError as error:
        raise CommandError(
            f"this host is in {network}, but {error}; when that is fixed, run the same command again"
        ) from None


def wait_until_known(network: str) -> None:
    """Return when the coordinator has this node's endpoints, or after a few seconds."""
    with suppress(CoordinatorError):  # then the agent reports it
        asyncio.run(membership.wait_until_known(network))


def print_status(network: str, arguments: Namespace) -> None:
    """Print the node's name, addresses and warnings. Raises AgentError."""
    status = daemons.settled(network)
    for warning in status.warnings:
        warn(warning)
    document: Join = {
        "network": network,
        "name": status.name,
        "address": str(status.address),
        "address6": str(status.address6),
        "interface": status.interface,
        "peers": len(status.peers),
        "requested": list(map(str, status.requested)),
        "connected": status.connected,
    }
    lines = [
        f"This host is {status.name} in {network}: {status.address} and {status.address6}.",
        f"It knows {count(len(status.peers), 'other node')}; `wgpy mesh status` shows all.",
    ]
    if status.requested:
        lines.append(
            f"The nodes route {listed(status.requested)} to it after `wgpy mesh approve {status.name}` "
            "on the host with the network's key."
        )
    if not status.connected:
        warn(f"it is not connected to the coordinator: {status.trouble or 'not yet'}")
    report(arguments, document, "\n".join(lines))
