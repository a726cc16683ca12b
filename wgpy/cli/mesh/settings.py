"""`wgpy mesh keepalive`: a setting of this node that no other node depends on."""

from argparse import Namespace

from wgpy.cli.changes import need_root
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.output import report
from wgpy.node import agent_client as agent


def set_keepalive(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    need_root("mesh keepalive")
    network = networks.selected(arguments)
    agent.set_keepalive(network, arguments.keepalive)
    document = {"network": network, "keepalive": arguments.keepalive}
    report(arguments, document, f"Keepalives of this node: {_described(arguments.keepalive)}.")


def _described(keepalive: str) -> str:
    return f"every {keepalive} s" if keepalive.isdecimal() else keepalive
