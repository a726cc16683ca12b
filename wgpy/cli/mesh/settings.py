"""`wgpy mesh keepalive` and `endpoint`: settings of this node."""

from argparse import Namespace

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Endpoints, Keepalive
from wgpy.cli.errors import UsageError
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import listed, report
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import EndpointChange


def set_keepalive(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    need_root("mesh keepalive")
    network = networks.selected(arguments)
    daemons.check_not_paused(network)
    agent.set_keepalive(network, arguments.keepalive)
    document: Keepalive = {"network": network, "keepalive": arguments.keepalive}
    report(arguments, document, f"Keepalives of this node: {_described(arguments.keepalive)}.")


def change_endpoints(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    need_root("mesh endpoint")
    given = arguments.endpoints
    if None in given and len(given) > 1:
        raise UsageError("`auto` stands alone: it takes back the endpoints that were given")
    network = networks.selected(arguments)
    daemons.check_not_paused(network)
    hosts = tuple(str(host) for host in given if host)
    agent.change_endpoints(network, EndpointChange(hosts))
    text = f"This node is reached at {listed(hosts, 'what it finds by itself')}."
    document: Endpoints = {"network": network, "endpoints": list(hosts)}
    report(arguments, document, text)


def _described(keepalive: str) -> str:
    return f"every {keepalive} s" if keepalive.isdecimal() else keepalive
