"""`wgpy doctor kubernetes`: whether this host is told what a cluster over a mesh needs."""

from argparse import Namespace

from wgpy.cli.changes import need_root
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import daemons, networks

from .finding import show
from .kubernetes_checks import examine
from .kubernetes_host import read_host


def examine_kubernetes(arguments: Namespace) -> None:
    """Exit with status 1 if something is wrong. Raises CommandError, AgentError and StorageError."""
    need_root("doctor kubernetes")
    network = networks.selected(arguments)
    status = daemons.status(network)
    try:
        host = read_host(status)
    except OSError as error:
        raise CommandError(f"this host cannot be examined: {error.strerror}") from None
    show(arguments, network, status.interface, examine(host))
