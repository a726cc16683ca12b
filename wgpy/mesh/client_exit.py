"""The exit of the clients that enter by a node, where another node is the gateway of the exit. Pure.

A gateway of clients has one exit for all of them, as an interface has one peer for all addresses: that of the
node itself if it uses one, else that of the client that was made first.

Invariant: what a client sends into a tunnel that takes all of its traffic goes to a gateway of the exit or
nowhere, and never by the own way of the node by which the client enters.
"""

from collections.abc import Collection, Iterable, Mapping

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.keys import PublicKey
from wgpy.mesh.exit import Exit, exit_of
from wgpy.mesh.ingress import EnteringClient
from wgpy.mesh.links import destinations_of, selected_by, site_selector
from wgpy.mesh.records import Client
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site, own_sites
from wgpy.mesh.topology import Topology


@dataclass(frozen=True, slots=True)
class ClientExit:
    """exit: one without a name where a client's file leads everything here and no client has an exit.

    users: keys of clients that use it; others: names of clients that may use another one.
    """

    exit: Exit
    users: frozenset[PublicKey]
    others: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences, what clients do not reach."""
        found = []
        if self.users and self.exit.trouble:
            found.append(
                f"clients that enter here do not reach the exit {self.exit.name}: {self.exit.trouble}"
            )
        if self.others:
            used = f"{self.exit.name} is the exit of" if self.exit.name else "no exit is there for"
            found.append(
                f"{', '.join(self.others)}: another exit is not reached by this node, as {used} the clients "
                "that enter here: add the client with another --gateway"
            )
        return tuple(found)


def client_exit(
    topology: Topology,
    entering: Collection[EnteringClient],
    used: Mapping[VerifyKey, Collection[Site]],
    identity: VerifyKey,
    name: str,
) -> ClientExit | None:
    """Return the exit of clients that enter by a node, None where they need none or leave by the node itself.

    used: the sites that are reached by each peer; identity: of the node; name: as `exit_name` returns it.
    """
    clients = [one.client for one in entering]
    exits = [site for site in topology.sites if site.is_exit]
    if not clients or any(own_sites(exits, identity)):
        return None
    users = {site.name: exit_users(topology, site, clients) for site in exits}
    own = users.get(name, ())
    others = {one.name for each, found in users.items() if each != name for one in found if one not in own}
    if not (own or others or any(map(_is_full, entering))):
        return None
    found = exit_of(name, topology.sites, used, identity) or Exit("", trouble="no exit is there")
    return ClientExit(found, frozenset(one.key for one in own), tuple(sorted(others)))


def exit_name(topology: Topology, clients: Collection[Client], identity: VerifyKey, own: str) -> str:
    """Return the name of the exit to which a node passes on what its clients send, "" for none.

    clients: that enter by the node, the one that was made first first; own: name of the exit that the node
    itself uses, "" for none.
    """
    exits = [site for site in topology.sites if site.is_exit] if clients else []
    if any(own_sites(exits, identity)):
        return ""
    users = {site.name: {one.key for one in exit_users(topology, site, clients)} for site in exits}
    wanted = (name for client in clients for name, keys in users.items() if client.key in keys)
    return next((name for name in wanted if own in ("", name)), "")


def exit_users(topology: Topology, site: Site, clients: Iterable[Client]) -> list[Client]:
    """Return the clients that may begin to an exit: by name, as `any` is of the mesh alone."""
    selector = site_selector(site.name)
    sources = {source for source, to in selected_by(topology.rules, topology.ends) if to == selector}
    return [
        client
        for client in clients
        if any(end.selector == selector for end in destinations_of(client, topology.ends))
        or not sources.isdisjoint(client.selectors)
    ]


def _is_full(entering: EnteringClient) -> bool:
    """Return whether the file of a client leads everything here."""
    return any(not prefix.prefixlen for prefix in entering.ingress.prefixes)
