"""What the page shows of a network, as JSON has it: ends, the ways between them, and sentences. Pure."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

from wgpy.address import is_private, parse_endpoint
from wgpy.cli.documents import Map
from wgpy.cli.mesh import peer_table, why_paths
from wgpy.cli.mesh.output import date, listed, since
from wgpy.cli.mesh.peer_table import Health
from wgpy.cli.mesh.status import about, remarks
from wgpy.cli.show import duration, size
from wgpy.mesh.selectors import rule_text
from wgpy.node.agent_client import Client, Excluded, Peer, Rule, Site, Status
from wgpy.node.files import NetworkKeyFile
from wgpy.node.site_report import how_reached, shown_prefixes

Rows = list[tuple[str, str]]
_STATES: Final = {
    Health.SILENT: "silent",
    Health.BY_CONNECTION: "tls",
    Health.BY_RELAY: "relay",
    Health.GOOD: "direct",
}


def view(status: Status, key: NetworkKeyFile | None = None) -> Map:
    """Return the document of GET /state. Ends have an `id`; `edges` lead from one to another."""
    ends = [
        _this_node(status, key),
        *(_node(status, peer) for peer in status.peers),
        *(_site(status, site) for site in status.sites if not site.exclusion),
        *(_client(status, client) for client in status.clients),
        *(_former(node) for node in status.excluded if node.identity != status.identity),
    ]
    return {
        "network": status.network,
        "name": status.name,
        "connected": status.connected,
        "trouble": status.trouble,
        "member": status.member,
        "revision": status.revision,
        "ends": ends,
        "edges": [*_paths(status), *_behind(status)],
        "rules": [_rule(rule) for rule in status.rules],
        "remarks": list(remarks(status)),
        "rejected": [
            {"time": record.time, "source": record.source, "reason": record.reason, "what": record.what}
            for record in reversed(status.rejected)
        ],
        "rejected_count": status.rejected_count,
    }


def state_of(peer: Peer) -> str:
    """Return by what a peer is reached, in a word: silent, tls, relay, direct, or idle without a session."""
    found = peer_table.health(peer)
    return _STATES[found] if peer.last_handshake or found is Health.SILENT else "idle"


def _end(
    kind: str, identity: str, name: str, state: str, address: str, rows: Rows, commands: Rows, **more: Any
) -> dict[str, Any]:
    return {
        "id": f"{kind}:{identity}", "kind": kind, "name": name, "state": state, "address": address,
        "rows": [row for row in rows if row[1]], "commands": commands, "tags": [], "received": 0, "sent": 0,
        **more,
    }  # fmt: skip


def _this_node(status: Status, key: NetworkKeyFile | None) -> dict[str, Any]:
    commands = [
        ("Say what this host's network allows", "sudo wgpy mesh netcheck"),
        ("Rename it", "sudo wgpy mesh rename NAME"),
        ("Let it leave the network", "sudo wgpy mesh leave"),
    ]
    state = "self" if status.member else "silent"
    rows = list(about(status, key))
    return _end("node", str(status.identity), status.name, state, str(status.address), rows, commands,
                tags=list(status.tags), relay=status.is_relay)  # fmt: skip


def _node(status: Status, peer: Peer) -> dict[str, Any]:
    name = peer.name or str(peer.identity)
    rows = [
        ("address", f"{peer.address}, {peer.address6}"),
        ("path", why_paths.path(status, peer) or peer_table.path_text(peer)),
        ("endpoint", peer.endpoint),
        ("round trip", why_paths.milliseconds(peer.round_trip) if peer.round_trip else ""),
        ("last handshake", since(peer.last_handshake)),
        ("no answer for", duration(peer.unanswered) if peer.unanswered else ""),
        ("received, sent", f"{size(peer.received)}, {size(peer.sent)}"),
        ("endpoints", listed(peer.endpoints) if peer.endpoints else ""),
        ("NAT", f"one that {why_paths.nat_words(peer.nat)}" if peer.nat else ""),
        ("tags", listed(peer.tags) if peer.tags else ""),
        ("routes", listed(peer.routes) if peer.routes else ""),
        ("not used", "; ".join(peer.left_out)),
        ("may begin", _directions(status, peer)),
    ]
    commands = [
        ("Find out why it is not reachable", f"sudo wgpy mesh why {name}"),
        ("Measure each path to it", f"sudo wgpy mesh ping {name} --all-paths"),
        ("Set its tags", f"sudo wgpy mesh tag {name} TAG…"),
        ("Remove it from the network", f"sudo wgpy mesh remove {name}"),
    ]
    return _end("node", str(peer.identity), name, state_of(peer), str(peer.address), rows, commands,
                tags=list(peer.tags), received=peer.received, sent=peer.sent, round_trip=peer.round_trip,
                place=_place(peer), relay=peer.name in _relays(status))  # fmt: skip


def _relays(status: Status) -> frozenset[str]:
    """Return the names of nodes that pass on what others send, as far as any peer is reached by them."""
    return frozenset(relay for peer in status.peers for relay in peer.relays)


def _place(peer: Peer) -> str:
    """Return the public address of a peer, which those behind one NAT have in common, "" if none is known."""
    addresses = (
        parse_endpoint(endpoint).address for endpoint in (*peer.endpoints, peer.endpoint) if endpoint
    )
    return next((address for address in addresses if not is_private(ip_address(address))), "")


def _directions(status: Status, peer: Peer) -> str:
    if not status.rules:
        return "each to the other, as there is no rule"
    texts = {rule.number: rule_text(f"{rule.source} {rule.destination}") for rule in status.rules}
    out = f"this node to it, by rule {peer.outbound_rule}: {texts.get(peer.outbound_rule)}"
    into = f"it to this node, by rule {peer.inbound_rule}: {texts.get(peer.inbound_rule)}"
    found = (out if peer.outbound_rule else "", into if peer.inbound_rule else "")
    return "; ".join(filter(None, found)) or "neither to the other: it is known as a relay or a gateway"


def _site(status: Status, site: Site) -> dict[str, Any]:
    peers = {peer.name: peer for peer in status.peers if peer.name}
    silent = [
        one.name for one in site.gateways if one.name in peers and state_of(peers[one.name]) == "silent"
    ]
    used = peers.get(site.used)
    state = "self" if site.own else state_of(used) if used else "idle"
    if silent and state != "silent":
        state = "degraded"
    rows = [
        ("reached as", how_reached(site)),
        ("gateways", listed(one.name or str(one.identity) for one in site.gateways)),
        ("in use", site.used or ("this node is a gateway" if site.own else "none")),
        ("no answer from", listed(silent) if silent else ""),
        ("prefixes there", shown_prefixes(site.real) if site.real != site.mapped else ""),
        ("name servers", listed(site.servers) if site.servers else ""),
        ("zones", listed(site.zones) if site.zones else ""),
        ("zones that wait", listed(site.waiting) if site.waiting else ""),
    ]
    commands = [
        ("Show it", f"sudo wgpy mesh site show {site.name}"),
        ("Let nodes with a tag begin to it", f"sudo wgpy mesh allow tag:NAME site:{site.name}"),
        ("Take it back, on its gateway", f"sudo wgpy mesh site remove {site.name}"),
    ]
    return _end("site", site.name, site.name, state, shown_prefixes(site.mapped), rows, commands)


def _client(status: Status, client: Client) -> dict[str, Any]:
    enters_here = client.gateway == status.name
    state = "idle" if enters_here and not client.last_handshake else "direct" if enters_here else "elsewhere"
    rows = [
        ("address", f"{client.address}, {client.address6}"),
        ("gateway", client.gateway),
        ("endpoint", client.endpoint),
        ("last handshake", since(client.last_handshake) if enters_here else ""),
        ("received, sent", f"{size(client.received)}, {size(client.sent)}" if enters_here else ""),
        ("expires", date(client.expires) if client.expires else "never"),
    ]
    commands = [
        ("Show what has changed since its file was made", f"sudo wgpy mesh client show {client.name}"),
        ("Remove it", f"sudo wgpy mesh client remove {client.name}"),
    ]
    return _end("client", f"{client.name}@{client.gateway}", client.name, state, str(client.address), rows,
                commands, received=client.received, sent=client.sent)  # fmt: skip


def _former(node: Excluded) -> dict[str, Any]:
    name = node.name or str(node.identity)
    rows = [("no member", node.reason), ("since", since(node.since) if node.since else "")]
    commands = [("Let its host join again", "sudo wgpy mesh token")]
    return _end("former", str(node.identity), name, "former", "", rows, commands)


def _paths(status: Status) -> Iterator[dict[str, Any]]:
    """Give the way to each peer; that by a relay leads from there."""
    by_name = {peer.name: f"node:{peer.identity}" for peer in status.peers if peer.name}
    local = f"node:{status.identity}"
    for peer in status.peers:
        state, remote = state_of(peer), f"node:{peer.identity}"
        text = why_paths.milliseconds(peer.round_trip) if peer.round_trip else ""
        start = by_name.get(peer.relay, local) if peer.relay and not peer.by_connection else local
        yield _edge(start, remote, state, text)


def _behind(status: Status) -> Iterator[dict[str, Any]]:
    """Give what joins sites and clients to their gateways."""
    by_name = {peer.name: peer for peer in status.peers if peer.name}
    names = {status.name: f"node:{status.identity}"}
    names |= {name: f"node:{peer.identity}" for name, peer in by_name.items()}
    for site in status.sites:
        for gateway in site.gateways if not site.exclusion else ():
            if gateway.name in names:
                is_used = gateway.name == site.used or (site.own and gateway.name == status.name)
                state = "site" if is_used else "standby"
                yield _edge(names[gateway.name], f"site:{site.name}", state, "")
    for client in status.clients:
        if client.gateway in names:
            yield _edge(names[client.gateway], f"client:{client.name}@{client.gateway}", "client", "")


def _edge(source: str, target: str, state: str, text: str) -> dict[str, Any]:
    return {"id": f"{source} {target}", "source": source, "target": target, "state": state, "text": text}


def _rule(rule: Rule) -> dict[str, Any]:
    source, destination = (end.removeprefix("node:") for end in (rule.source, rule.destination))
    return {
        "number": rule.number,
        "text": rule_text(f"{rule.source} {rule.destination}"),
        "packets": rule.packets,
        "command": f"sudo wgpy mesh disallow {source} {destination}",
    }
