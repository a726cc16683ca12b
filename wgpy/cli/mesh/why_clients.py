"""What `wgpy mesh why` knows of clients. Pure."""

from wgpy.cli.errors import CommandError
from wgpy.node.agent_client import Client, Status


def named(status: Status, name: str) -> Client | None:
    """Return the client with a name, a key or an address. Raises CommandError for one of this node itself."""
    for client in status.clients:
        if name in (client.name, str(client.key), str(client.address), str(client.address6)):
            if client.gateway == status.name:
                raise CommandError(f"{client.name} enters by this node; `wgpy mesh status` shows since when")
            return client
    return None


def way(client: Client, gateway: str) -> str:
    """Return how a client is reached."""
    return f"{client.name} enters by {gateway}, and has {client.address} and {client.address6} there"
