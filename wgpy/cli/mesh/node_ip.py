"""`wgpy mesh node-ip`: the addresses of this node as kubelet takes them. kubelet(8), --node-ip"""

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wgpy.cli.changes import need_root
from wgpy.cli.documents import NodeIp
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.launch import eventually
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import listed, report
from wgpy.node import agent_client as agent


def node_ip(arguments: Namespace) -> None:
    """Print them once they are on the interface. Raises CommandError and StorageError."""
    need_root("mesh node-ip")
    network = networks.selected(arguments)
    daemons.check_not_paused(network)
    if arguments.wait:
        eventually(lambda: _is_complete(network, arguments.family), arguments.wait)
    status = daemons.status(network)
    wanted = _wanted(status, arguments.family)
    if missing := missing_addresses(status.interface, wanted):
        raise CommandError(f"{listed(missing)} of this node is not on {status.interface}, or that is down")
    document: NodeIp = {"network": network, "interface": status.interface, "addresses": wanted}
    report(arguments, document, ",".join(wanted))


def _is_complete(network: str, version: int | None) -> bool:
    try:
        status = agent.status(network)
    except agent.AgentError:
        return False
    return not missing_addresses(status.interface, _wanted(status, version))


def _wanted(status: agent.Status, version: int | None) -> list[str]:
    """Return the addresses of a version of IP, None for both."""
    return [str(one) for one in (status.address, status.address6) if version in (None, one.version)]


def missing_addresses(interface: str, wanted: Iterable[str]) -> list[str]:
    """Return those that nothing can be sent from. Raises CommandError."""
    usable = usable_addresses(Host().query_ip("address", "show", "dev", interface))
    return [address for address in wanted if address not in usable]


def usable_addresses(answer: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the addresses of links that are up. answer: of `ip -json address show dev NAME`."""
    return {
        address["local"]
        for link in answer
        if "UP" in link["flags"]
        for address in link.get("addr_info", ())
        if "local" in address and not address.get("tentative")
    }
