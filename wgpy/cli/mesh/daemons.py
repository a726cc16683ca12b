"""Start and stop of a network's daemons: by systemd if its units are installed, or else in the background."""

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from errno import EAGAIN
from pathlib import Path
from typing import Any, Final

from wgpy.cli import daemon
from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.launch import START_TIMEOUT, SYSTEMD, Launch, eventually, last_line, program
from wgpy.cli.mesh import networks
from wgpy.contract.errors import WgpyError
from wgpy.host import client_forwarding, pod_masquerade, split_dns
from wgpy.host.iprule import rule_removals
from wgpy.host.links import find_owned, mesh_owner
from wgpy.host.nftables import NftFailed
from wgpy.host.reverse_path import table_name, undo
from wgpy.host.split_dns import ResolverFailed
from wgpy.node import agent_client as agent
from wgpy.node.files import COORDINATORS, NodeFile, gateway_note
from wgpy.uapi import client as uapi_client
from wgpy.uapi.client import InterfaceError

_SYSTEMD: Final = SYSTEMD
_SETTLING_TIME: Final = 5.0  # seconds
_ENDING_TIME: Final = 60.0  # a router may be slow to take its mapping back, and so may a busy host be


def start_node(host: Host, network: str, begun: Launch | None = None) -> None:
    """Return when the agent answers, also of a network that was paused. Raises CommandError, StorageError."""
    set_paused(network, paused=False)
    unit = f"wgpyd-mesh@{network}.service"
    if _has(unit):
        _enable(host, unit)
        if not eventually(lambda: listens(network), START_TIMEOUT):
            raise CommandError(f"{unit} does not answer; `systemctl status {unit}` says more")
        return
    _warn_of_reboots(unit)
    if begun is not None:
        host.print_change(f"echo {network} | wgpyd --mesh -")
        begun.finish(network, lambda: listens(network), f"{network}\n")
        return
    daemon.launch(host, [*program("wgpyd"), "--mesh", network], network, lambda: listens(network))


def set_paused(network: str, *, paused: bool) -> None:
    """Note whether the agent is to run, also after a reboot. It must not run now. Raises StorageError."""
    node = networks.node_file(network)
    if node is not None and node.paused != paused:
        replace(node, paused=paused).save(networks.folder(network))


def choose(network: str, **choices: bool | None) -> None:
    """Note what was chosen of the fields of the node's file, None for as before. Raises StorageError."""
    node = networks.node_file(network)
    chosen: dict[str, Any] = {name: choice for name, choice in choices.items() if choice is not None}
    if node is not None and any(getattr(node, name) != choice for name, choice in chosen.items()):
        replace(node, **chosen).save(networks.folder(network))


def stop_node(host: Host, network: str, node: NodeFile) -> None:
    """Return when daemon, interface and routing are gone, if they were there. Raises CommandError."""
    unit = f"wgpyd-mesh@{network}.service"
    if _has(unit):
        host.run(["systemctl", "disable", "--now", unit])
    owned = find_owned(mesh_owner(network))  # under whatever name it has now
    name = owned.name if owned else node.interface
    with suppress(CommandError):  # it was gone a moment before
        if owned or _serves(node, name):
            host.run(["ip", "link", "delete", "dev", name])
    if not eventually(lambda: not (_serves(node, name) or listens(network)), _ENDING_TIME):
        raise CommandError(f"the daemon of {network} still runs; `ip link delete {name}` stops it")
    _remove_routing(host, node, node.local_coordinator_port(network))
    _close_gateway(host, node.routing_table, gateway_note(network))
    _undo_split_dns(host, network, name)


def _remove_routing(host: Host, node: NodeFile, coordinator_port: int) -> None:
    """Remove what stays while the daemon is away. Raises CommandError."""
    table = node.routing_table
    numbers = (table, node.exit_table, node.clients_table, node.return_table)
    for family in ("-4", "-6"):
        rules = host.query_ip("-N", family, "rule")
        host.ip(rule_removals(rules, coordinator_port, *numbers), family)
        for number in numbers:
            if host.query_ip(family, "route", "show", "table", str(number)):
                host.ip([f"route flush table {number}"], family)
    tables = host.query_nft_tables()
    for name in (client_forwarding.table_name(table), *pod_masquerade.table_names(table)):
        if name in tables:
            host.run(["nft", "delete", "table", *name.split()])
    if table_name(table) in tables:
        _undo_reverse_path(host, table)


def has_exit(host: Host, node: NodeFile) -> bool:
    """Return whether the host sends by an exit, or nowhere, what no other route has. Raises CommandError."""
    table = node.exit_table
    rules = (host.query_ip("-N", family, "rule") for family in ("-4", "-6"))
    return any(rule_removals(found, 0, table) for found in rules)


def remove_exit(host: Host, node: NodeFile) -> None:
    """Have the host use its own default route again while no daemon runs. Raises CommandError."""
    table = node.exit_table
    for family in ("-4", "-6"):
        host.ip(rule_removals(host.query_ip("-N", family, "rule"), 0, table), family)
        if host.query_ip(family, "route", "show", "table", str(table)):
            host.ip([f"route flush table {table}"], family)


def _undo_reverse_path(host: Host, table: int) -> None:
    host.print_change(f"nft delete table {table_name(table)}")
    try:
        undo(table)
    except (NftFailed, OSError) as error:
        raise CommandError(str(error)) from None


def _close_gateway(host: Host, table: int, note: Path) -> None:
    """Take back what was changed for sites. Raises CommandError."""
    if not note.exists():
        return
    from wgpy.host import gateway

    host.print_change("undo what was changed for sites: tables of nft, rules in other firewalls, settings")
    try:
        gateway.undo(table, note)
    except (WgpyError, OSError) as error:
        raise CommandError(str(error)) from None


def _undo_split_dns(host: Host, network: str, interface: str) -> None:
    """Have this host ask the node for names no longer, also if a killed daemon left it so."""
    if not split_dns.is_told(network, interface):
        return
    host.print_change(f"take the name server of {network} out of {split_dns.manager().value}")
    try:
        split_dns.undo(network, interface)
    except ResolverFailed as error:
        raise CommandError(f"this host still asks for names of {network}: {error}") from None


def _serves(node: NodeFile, interface: str) -> bool:
    """Return whether the interface exists and has this node's key."""
    try:
        return uapi_client.get(interface).private_key == node.key
    except InterfaceError:
        return False


def listens(network: str) -> bool:
    """Return whether an agent does, however busy it is, until it has given back what it had from others."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(agent.socket_path(network))) in (0, EAGAIN)  # many others ask


def runs(network: str) -> bool:
    """Return whether an agent answers."""
    try:
        agent.status(network)
    except agent.AgentError:
        return False
    return True


def status(network: str) -> agent.Status:
    """Ask the agent of this host's node. Raises CommandError."""
    check_not_paused(network)
    try:
        return agent.status(network)
    except agent.AgentError as error:
        unit = f"wgpyd-mesh@{network}.service"
        start = f"systemctl start {unit}" if _has(unit) else f"wgpyd --mesh={network}"
        raise CommandError(f"{error}; `{start}` starts it, if that is what is missing") from None


def check_not_paused(network: str) -> None:
    """Raises CommandError if no agent is to run on this host now, and as `needed_node`."""
    if needed_node(network).paused:
        raise CommandError(f"{network} is paused on this host; `wgpy mesh up` resumes it")


def needed_node(network: str) -> NodeFile:
    """Return the file of this host's node. Raises CommandError if there is none, and StorageError."""
    node = networks.node_file(network)
    if node is None:
        raise CommandError(f"this host is no node of {network}; it only has the network's key")
    return node


def settled(network: str) -> agent.Status:
    """Wait a few seconds for the agent to connect to the coordinator. Raises AgentError."""
    eventually(lambda: agent.status(network).connected, _SETTLING_TIME)
    return agent.status(network)


def start_coordinator(host: Host, network: str, answers: Callable[[], bool]) -> Callable[[], None]:
    """Return when the coordinator answers; return a function that stops it. Raises CommandError."""
    unit = f"wgmesh@{network}.service"
    if _has(unit):
        _enable(host, unit)
        return lambda: host.run(["systemctl", "disable", "--now", unit])
    command = [*program("wgmesh"), "serve", network]
    host.print_change(" ".join(command))
    log = COORDINATORS / network / "wgmesh.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
    if not eventually(lambda: process.poll() is not None or answers(), START_TIMEOUT) or process.poll():
        process.terminate()
        raise CommandError(f"the coordinator did not start: {last_line(log.read_bytes())}")
    return process.terminate


def _enable(host: Host, unit: str) -> None:
    """Start a unit now and at each boot, or neither. Raises CommandError."""
    try:
        host.run(["systemctl", "enable", "--now", unit])
    except CommandError:
        with suppress(CommandError):
            host.run(["systemctl", "disable", "--now", unit])
        raise CommandError(f"{unit} does not start; `journalctl -u {unit}` says why") from None


def _has(unit: str) -> bool:
    """Return whether systemd runs on this host and has the unit."""
    return (
        _SYSTEMD.is_dir()
        and subprocess.run(
            ["systemctl", "cat", unit], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )


def _warn_of_reboots(unit: str) -> None:
    """Warn that the daemon does not start at boot, if systemd could start it."""
    if _SYSTEMD.is_dir():
        units = Path(sys.prefix) / "lib/systemd/system"
        warn(f"{unit} is not installed, so no boot starts it; `systemctl link {units}/*mesh*` installs it")
