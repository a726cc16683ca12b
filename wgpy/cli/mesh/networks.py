"""The networks of this host: which one a command means, and the paths of its files."""

from argparse import Namespace
from pathlib import Path

from wgpy.cli.errors import CommandError
from wgpy.node.files import NODES, NetworkKeyFile, NodeFile, StorageError

KEY_FILE = "network.key"


def known() -> list[str]:
    """Return the networks that this host is a node of, or has the key of. Raises StorageError."""
    try:
        return sorted(
            path.name
            for path in NODES.iterdir()
            if (path / "node.json").exists() or (path / KEY_FILE).exists()
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{NODES} cannot be read: {error.strerror}; try `sudo wgpy mesh …`") from None


def selected(arguments: Namespace) -> str:
    """Return the network that a command means. Raises CommandError and StorageError."""
    names = known()
    if arguments.network:
        if arguments.network not in names:
            raise CommandError(
                f"this host is not in a network {arguments.network}; it is in {', '.join(names) or 'none'}"
            )
        return str(arguments.network)
    if not names:
        raise CommandError(
            "this host is in no network; `wgpy mesh init` makes one, `wgpy mesh join` joins one"
        )
    if len(names) > 1:
        raise CommandError(f"this host is in {', '.join(names)}; select one with --network NAME")
    return names[0]


def folder(network: str) -> Path:
    return NODES / network


def node_file(network: str) -> NodeFile | None:
    """Return the file of this host's node in a network, if there is one. Raises StorageError."""
    path = folder(network)
    return NodeFile.load(path) if (path / "node.json").exists() else None


def key_path(network: str) -> Path:
    return folder(network) / KEY_FILE


def network_key(network: str) -> NetworkKeyFile | None:
    """Return the network's key, if it is on this host. Raises StorageError."""
    path = key_path(network)
    return NetworkKeyFile.load(path) if path.exists() else None
