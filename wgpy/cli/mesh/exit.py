"""`wgpy mesh use`: the exit of this node, by which it sends what no other route has."""

from argparse import Namespace
from dataclasses import replace

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Exit
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.host import Host
from wgpy.cli.launch import eventually
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import report
from wgpy.cli.mesh.status import exit_text
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import AgentError

_APPLYING_TIME = 60.0  # seconds, on a busy host
_NO_EXIT = ("none", "no", "off")  # taken for names


def use(arguments: Namespace) -> None:
    """Raises AgentError, CommandError and StorageError."""
    need_root("mesh use")
    if arguments.none and arguments.name:
        raise UsageError(f"`wgpy mesh use --none` ends the use of {arguments.name}, without its name")
    if not (arguments.none or arguments.name):
        raise UsageError("name a site of default routes, as in `wgpy mesh use internet`, or give --none")
    network = networks.selected(arguments)
    if arguments.none:
        _use_none(network, Host(verbose=arguments.verbose))
        text = f"This host sends by its own default route what is not for {network}."
        document: Exit = {"network": network, "exit": "", "gateway": "", "routes": []}
        report(arguments, document, text)
    else:
        _use(network, arguments)


def _use(network: str, arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    daemons.check_not_paused(network)
    if others := [other for other in networks.known() if other != network and _has_exit(other)]:
        raise CommandError(
            f"this host uses an exit of {others[0]}: `wgpy mesh use --none --network {others[0]}` first"
        )
    try:
        agent.use_exit(network, arguments.name)
    except AgentError as error:
        hint = "; `wgpy mesh use --none` ends the use of an exit" if arguments.name in _NO_EXIT else ""
        raise CommandError(f"{str(error).rstrip('.')}{hint}") from None
    if not eventually(lambda: _routed(network, arguments.name), _APPLYING_TIME):
        raise CommandError(f"{arguments.name} is not used yet; `wgpy mesh status` says why")
    status = agent.status(network)
    document = {
        "network": network,
        "exit": status.exit,
        "gateway": status.exit_gateway,
        "routes": list(map(str, status.exit_routes)),
    }
    report(arguments, document, f"This host's exit is {exit_text(status)}.")


def _use_none(network: str, host: Host) -> None:
    """Also while no daemon answers: this is the way out. Raises AgentError, CommandError and StorageError."""
    node = daemons.needed_node(network)
    if daemons.runs(network):
        agent.use_exit(network, "")
        eventually(lambda: not daemons.has_exit(host, node), _APPLYING_TIME)
    else:
        replace(node, exit="").save(networks.folder(network))
    daemons.remove_exit(host, node)


def _routed(network: str, name: str) -> bool:
    status = agent.status(network)
    return status.exit == name and bool(status.exit_routes)


def _has_exit(network: str) -> bool:
    node = networks.node_file(network)
    return node is not None and bool(node.exit)
