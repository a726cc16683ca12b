"""Where a client dials its gateway."""

from argparse import Namespace
from ipaddress import ip_address

from wgpy.address import is_private
from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import networks
from wgpy.cli.mesh.output import listed
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.member import Member


def endpoint_of(gateway: Member, arguments: Namespace) -> str:
    """Return what was given, a name of this node, or the first public endpoint, HOST:PORT.

    Raises CommandError.
    """
    if arguments.endpoint:
        return str(arguments.endpoint)
    if hosts := _hosts_here(gateway, arguments):
        return hosts[0]
    public = [endpoint for endpoint in gateway.endpoints if not _is_private(endpoint)]
    if not public:
        raise CommandError(_unreachable(gateway))
    if len(public) < len(gateway.endpoints):
        warn(
            f"{gateway.name} has private addresses, too: if it is behind a NAT, that has to map the UDP port "
            f"of {public[0]} to it"
        )
    return str(public[0])


def _unreachable(gateway: Member) -> str:
    advice = f"give one with --endpoint HOST[:PORT], or `wgpy mesh endpoint HOST` on {gateway.name}"
    if not gateway.endpoints:
        return f"{gateway.name} publishes no address at which a client could dial it: {advice}"
    found = listed(gateway.endpoints)
    return f"{gateway.name} has no public address at which a client could dial it, only {found}: {advice}"


def _hosts_here(gateway: Member, arguments: Namespace) -> tuple[str, ...]:
    """Return the endpoints that the operator gave this node, if it is the gateway: names last longest."""
    node = None if arguments.key else networks.node_file(networks.selected(arguments))
    is_gateway = node is not None and node.identity.verify_key() == gateway.identity
    return node.hosts if node is not None and is_gateway else ()


def _is_private(endpoint: Endpoint) -> bool:
    return is_private(ip_address(endpoint.address.partition("%")[0]))
