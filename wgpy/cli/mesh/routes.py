"""`wgpy mesh route`: the prefixes that this node announces."""

from argparse import Namespace

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Routes
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import listed, report
from wgpy.node import agent_client as agent
from wgpy.node.agent_client import RouteChange


def change_routes(arguments: Namespace) -> None:
    """Raises AgentError and CommandError."""
    need_root("mesh route")
    network, prefixes = networks.selected(arguments), tuple(arguments.prefixes)
    daemons.check_not_paused(network)
    is_addition = arguments.change == "add"
    agent.change_routes(network, RouteChange(prefixes, ()) if is_addition else RouteChange((), prefixes))
    status = daemons.status(network)
    lines = [f"{status.name} announces {listed(status.routes, 'no prefix')}."]
    if status.requested:
        lines.append(
            f"It may not announce {listed(status.requested)} yet: `wgpy mesh approve {status.name}` allows "
            "it, unless another node or the network itself has it."
        )
    document: Routes = {
        "network": network,
        "name": status.name,
        "routes": list(map(str, status.routes)),
        "requested": list(map(str, status.requested)),
    }
    report(arguments, document, "\n".join(lines))
