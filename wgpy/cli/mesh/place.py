"""Which network a command means, and where this host keeps what it knows of it."""

from argparse import Namespace
from pathlib import Path

from wgpy.cli.errors import CommandError
from wgpy.node.files import NODES, NetworkKeyFile, NodeFile, StateError

KEY_FILE = "network.key"


def networks() -> list[str]:
    """Return the networks that this host is in, or has the key of. Raises StateError."""
    try:
        return sorted(
            path.name
            for path in NODES.iterdir()
            if (path / "node.json").exists() or (path / KEY_FILE).exists()
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(f"{NODES} cannot be read: {error.strerror}; try `sudo wgpy mesh …`") from None


def chosen(arguments: Namespace) -> str:
    """Return the network that is meant. Raises CommandError and StateError."""
    known = networks()
    if arguments.network:
        if arguments.network not in known:
            raise CommandError(
                f"this host is not in a network {arguments.network}; it is in {', '.join(known) or 'none'}"
            )
        return str(arguments.network)
    if not known:
        raise CommandError(
            "this host is in no network; `wgpy mesh init` makes one, `wgpy mesh join` joins one"
        )
    if len(known) > 1:
        raise CommandError(f"this host is in {', '.join(known)}; say which with --network NAME")
    return known[0]


def folder(network: str) -> Path:
    return NODES / network


def node_file(network: str) -> NodeFile | None:
    """Return who this host is in a network, if it is in. Raises StateError."""
    path = folder(network)
    return NodeFile.load(path) if (path / "node.json").exists() else None


def key_path(network: str) -> Path:
    return folder(network) / KEY_FILE


def network_key(network: str) -> NetworkKeyFile | None:
    """Return the network's key, if it is in its place. Raises StateError."""
    path = key_path(network)
    return NetworkKeyFile.load(path) if path.exists() else None
