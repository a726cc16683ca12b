"""What `wgpy mesh why` knows of clients. Pure."""

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.output import since
from wgpy.node.agent_client import Client, Status


def named(status: Status, name: str) -> Client | None:
    """Return the client with a name, a key or an address. Raises CommandError for one of this node itself."""
    for client in status.clients:
        if name in (client.name, str(client.key), str(client.address), str(client.address6)):
            if client.gateway == status.name:
                raise CommandError(f"{client.name} enters by this node, and {_last(client)}")
            return client
    return None


def _last(client: Client) -> str:
    """Return when a client of this node was here."""
    if not client.last_handshake:
        return "has not come yet: its device has to bring the tunnel of its file up"
    return f"was here {since(client.last_handshake)}: `wgpy mesh status` shows what passed"


def silence(client: Client, gateway: str) -> tuple[str, str]:
    """Return what it means that a client does not answer, though its gateway does, and what to do."""
    text = f"{client.name} did not answer, but {gateway} did, by which it enters"
    return text, (
        f"{gateway} is there, so it is {client.name} whose tunnel may not be up, or that answers no pings: "
        f"`wgpy mesh why {client.name}` on {gateway} says when it was there last."
    )


def way(client: Client, gateway: str) -> str:
    """Return how a client is reached."""
    return f"{client.name} enters by {gateway}, and has {client.address} and {client.address6} there"
