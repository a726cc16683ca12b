"""`wgpy mesh down` and `up`: this host pauses in a network, and resumes. It stays a member."""

from argparse import Namespace

from wgpy.cli.changes import need_root
from wgpy.cli.documents import Pause
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import report


def down(arguments: Namespace) -> None:
    """Raises CommandError and StorageError."""
    need_root("mesh down")
    network = networks.selected(arguments)
    node = daemons.needed_node(network)
    if node.paused:
        raise CommandError(f"{network} is paused on this host already")
    daemons.stop_node(Host(verbose=arguments.verbose), network, node)
    daemons.set_paused(network, paused=True)
    text = f"This host pauses in {network}, also after a reboot; `wgpy mesh up` resumes."
    document: Pause = {"network": network, "paused": True}
    report(arguments, document, text)


def up(arguments: Namespace) -> None:
    """Raises CommandError and StorageError."""
    need_root("mesh up")
    network = networks.selected(arguments)
    daemons.needed_node(network)
    if daemons.runs(network):
        raise CommandError(f"{network} is up on this host already; `wgpy mesh status` shows it")
    daemons.choose(network, dns=arguments.dns, port_mapping=arguments.port_mapping)
    daemons.start_node(Host(verbose=arguments.verbose), network)
    status = daemons.settled(network)
    text = f"This host is {status.name} in {network} again: {status.address} and {status.address6}."
    document: Pause = {"network": network, "paused": False}
    report(arguments, document, text)
