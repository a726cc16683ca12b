"""`wgpy mesh status`: the networks of this host as its nodes know them."""

import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from wgpy.cli.changes import need_root
from wgpy.cli.colours import Colour, paint
from wgpy.cli.documents import Networks
from wgpy.cli.errors import UsageError
from wgpy.cli.mesh import daemons, networks, peer_table
from wgpy.cli.mesh.output import ENDED_SHOWN, columns, count, date, listed, report, since
from wgpy.cli.mesh.rule_names import with_names
from wgpy.cli.mesh.site_table import table
from wgpy.cli.show import size
from wgpy.mesh.clock import compared
from wgpy.mesh.selectors import rule_text
from wgpy.node.agent_client import Excluded, KubernetesStatus, Rule, Status
from wgpy.node.coordinator_client import with_port
from wgpy.node.files import NetworkKeyFile
from wgpy.node.network_check import PortMapping
from wgpy.node.site_report import FRESH, SILENCE

_NEWEST: Final = 5  # rejected records that are shown


_Found = Sequence[tuple[Status, NetworkKeyFile | None]]


def show_status(arguments: Namespace) -> None:
    """Print one network, or every one that this host is a node of. Raises CommandError."""
    need_root("mesh status")
    if arguments.watch:
        _watch(arguments)
        return
    found = _read(arguments)
    document: Networks = {
        "networks": {status.network: status for status, _ in found},
        "network_keys": {
            status.network: {"path": str(networks.key_path(status.network)), "used": key.used}
            for status, key in found
            if key
        },
    }
    report(arguments, document, _texts(found))


def _read(arguments: Namespace) -> _Found:
    """Raises CommandError."""
    several = [name for name in networks.known() if networks.node_file(name)]
    names = [networks.selected(arguments)] if arguments.network or not several else several
    found = [(with_names(daemons.status(name)), networks.network_key(name)) for name in names]
    if arguments.all:
        return found
    return [(without_old(status, int(time.time())), key) for status, key in found]


def _watch(arguments: Namespace) -> None:
    """Raises CommandError."""
    from wgpy.cli.watch import watch

    if arguments.json:
        raise UsageError("--watch is for people, and --json for programs: give one of them")
    watch("wgpy mesh status", lambda: _texts(_read(arguments), wrong_first=True), arguments.watch)


def _texts(found: _Found, *, wrong_first: bool = False) -> str:
    return "\n\n".join(text(status, key, wrong_first=wrong_first) for status, key in found)


def without_old(status: Status, now: int) -> Status:
    """Leave out nodes whose membership ended long ago, except this one. now: Unix seconds."""
    shown = (
        node
        for node in status.excluded
        if not node.over or node.since >= now - ENDED_SHOWN or node.identity == status.identity
    )
    return replace(status, excluded=tuple(shown))


def text(status: Status, key: NetworkKeyFile | None, *, wrong_first: bool = False) -> str:
    """Return the text. wrong_first: what is not as it should be stands above the rest, of peers too."""
    node, wrong = columns(about(status, key)), list(filter(None, map("\n".join, _remarks(status))))
    lists = []
    if status.member:
        worst_first = sorted(status.peers, key=lambda peer: (peer_table.health(peer), peer.name))
        lists.append(peer_table.table(status, worst_first if wrong_first else ()))
        lists += [_clients(status)] if status.clients else []
    if status.sites:
        lists.append(table(status.sites))
    parts = [_state(status), *wrong, *lists, node] if wrong_first else [node, *lists, *wrong]
    return "\n\n".join(parts)


def _state(status: Status) -> str:
    """Return in a line whether all is well with this node itself."""
    if not status.member:
        return paint(f"{status.name} is no member of {status.network}: {exclusion(status)}", Colour.BAD)
    return f"{status.name} of {status.network}: the coordinator is {_connection(status)}"


def about(status: Status, key: NetworkKeyFile | None) -> Iterator[tuple[str, str]]:
    """Give what there is to say of this node: a subject, "" for the one before, and a text."""
    yield "network", f"{status.network}, {status.addresses} and {status.addresses6}, MTU {status.mtu}"
    yield "this node", f"{status.name}, {status.address} and {status.address6}"
    yield "", f"on {status.interface}, UDP port {status.listen_port}"
    if status.hosts:
        yield "", _reached(status)
    if nat := nat_text(status):
        yield "", nat
    yield from (("", text) for text in _mappings(status))
    if status.registered:
        yield "", f"reached by the relays {listed(status.registered)} by nodes behind other NATs"
    if status.is_relay:
        yield "", f"a relay, which has passed on {size(status.relayed_bytes)}"
    if not status.member:
        what = f"no member: {exclusion(status)}; `wgpy mesh leave`, then join with a new token"
        yield "", paint(what, Colour.BAD)
    if status.tags:
        yield "", f"tags {listed(status.tags)}"
    if status.routes:
        yield "", f"announces {listed(status.routes)}"
    if status.requested and status.member:
        yield "", f"would announce {listed(status.requested)}: `wgpy mesh approve {status.name}` allows it"
    yield from _kubernetes(status.kubernetes)
    by = f", by {status.resolver}" if status.resolver else ", which this host does not resolve"
    yield "names", f"NODE.{status.domain}{by}"
    if status.exit:
        yield "exit", exit_text(status) + _exit_answers(status)
    if status.return_site:
        yield "return route", f"as a host of {status.return_site}, by {listed(status.return_gateways)}"
    yield "coordinator", f"{with_port(status.coordinator)}, {_connection(status)}"
    yield "log", status.log
    yield "network's key", _key(status, key)
    yield from _rules(status.rules)


def _kubernetes(found: KubernetesStatus) -> Iterator[tuple[str, str]]:
    if found.sites:
        yield "kubernetes", f"the prefixes of {listed(found.sites)}, by {found.server}"
    if not found.node:
        return
    ranges = f"pod ranges {listed(found.ranges)}" if found.ranges else "no pod ranges"
    away = paint(" does not answer", Colour.BAD) if found.trouble else ""
    yield "kubernetes", f"node {found.node}, {ranges}, by {found.server}{away}"


def exit_text(status: Status) -> str:
    """Return where this node sends what no other route has."""
    if not status.exit_routes:
        return f"{status.exit}, which is not there: nothing leaves by this host's own default route"
    present = {prefix.version for prefix in status.exit_routes}
    versions = " and ".join(f"IPv{version}" for version in sorted(present))
    nowhere = "".join(f"; IPv{version} goes nowhere" for version in (4, 6) if version not in present)
    return f"{status.exit} by {status.exit_gateway}, {versions}{nowhere}"


def _exit_answers(status: Status) -> str:
    """Return what is known of the exit's gateway unless that has answered lately."""
    gateway = next((peer for peer in status.peers if peer.name == status.exit_gateway), None)
    if gateway is None or not status.exit_routes:
        return ""
    if gateway.unanswered > SILENCE:
        return f"; {gateway.name} does not answer"
    is_fresh = time.time() - gateway.last_handshake <= FRESH
    return "" if is_fresh else f"; last handshake {since(gateway.last_handshake)}"


def _reached(status: Status) -> str:
    given, endpoints = listed(status.hosts), listed(status.endpoints)
    if not status.endpoints:
        return f"reached at {given}, without an address yet"
    return f"reached at {given}" if given == endpoints else f"reached at {given}, now {endpoints}"


def exclusion(status: Status) -> str:
    """Return why this node is no member."""
    local = (node for node in status.excluded if node.identity == status.identity)
    return next(map(_reason, local), status.exclusion)


def _reason(node: Excluded) -> str:
    """Return why a node is no member; both times, if a clock says so."""
    if node.since and "expired" in node.reason:
        return f"{node.reason}: {compared(node.since, int(time.time()))}"
    return node.reason


def nat_text(status: Status) -> str:
    """Return whether this node is behind a NAT or a firewall, and its keepalives; "" for none of them."""
    interval = f"keepalives every {status.keepalive} s" if status.keepalive else "no keepalives"
    lasting = f"; a mapping lasts at least {status.mapping_lasts} s" if status.mapping_lasts else ""
    if status.nat:
        return f"behind the NAT {status.nat}, {interval}{lasting}"
    if status.filtered:
        return f"behind a firewall that lets nothing in that was not asked for, {interval}{lasting}"
    return interval if status.keepalive else ""


def _mappings(status: Status) -> Iterator[str]:
    if status.nat:
        yield f"port mapping: {mapping_text(status.port_mapping)}"
    if status.pinhole.endpoint:
        yield f"let in by IPv6: {mapping_text(status.pinhole)}"


def mapping_text(mapping: PortMapping) -> str:
    """Return how others reach this node by its router, or why not."""
    if mapping.endpoint:
        return f"{mapping.endpoint} by {mapping.protocol}, until {date(mapping.until)}"
    return mapping.trouble or "being asked for"


def _rules(rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    if not rules:
        yield "rules", "none, so everybody reaches everybody"
    for index, rule in enumerate(rules):
        text = rule_text(f"{rule.source} {rule.destination}")
        yield "" if index else "rules", f"{text} (rule {rule.number}, let in {count(rule.packets, 'packet')})"


def _connection(status: Status) -> str:
    if status.connected:
        return paint("connected", Colour.GOOD)
    if any(node.over and node.identity == status.identity for node in status.excluded):
        return f"not connected, last heard {since(status.heard)}, as this node is no member"
    why = f": {status.trouble}" if status.trouble else ""
    return paint(f"not connected, last heard {since(status.heard)}{why}", Colour.BAD)


def _key(status: Status, key: NetworkKeyFile | None) -> str:
    if key is None:
        return "not on this host"
    return f"{networks.key_path(status.network)}, last used {since(key.used)}"


def _clients(status: Status) -> str:
    """Return those that enter by this node first, as only of these there is more to say."""
    rows = [
        (
            client.name,
            str(client.address),
            client.gateway,
            client.endpoint or "-",
            since(client.last_handshake) if client.gateway == status.name else "-",
            f"{size(client.received)} / {size(client.sent)}" if client.gateway == status.name else "-",
            date(client.expires) if client.expires else "never",
        )
        for client in sorted(status.clients, key=lambda one: (one.gateway != status.name, one.name))
    ]
    head = ("CLIENT", "ADDRESS", "GATEWAY", "ENDPOINT", "HANDSHAKE", "RECEIVED / SENT", "EXPIRES")
    return columns([head, *rows])


def remarks(status: Status) -> Iterator[str]:
    """Give what is not as it should be, a line each."""
    return chain.from_iterable(_remarks(status))


def _remarks(status: Status) -> Iterator[Iterator[str]]:
    """Give what is not as it should be, by its kind."""
    yield peer_table.reasons(status)
    yield (f"{peer.name}: {why}" for peer in status.peers for why in peer.left_out)
    yield (
        f"{_former(node, status)} is no member: {_reason(node)}{_rules_for(node, status.rules)}"
        for node in status.excluded
        if node.identity != status.identity
    )
    yield (paint(f"withheld by the coordinator: {what}", Colour.BAD) for what in status.withheld)
    yield _rejected(status)
    yield (paint(f"warning: {warning}", Colour.NOTICE) for warning in status.warnings)


def _former(node: Excluded, status: Status) -> str:
    """Return how a node that is no member is called, whose name a member may have by now."""
    is_taken = node.name in (status.name, *(peer.name for peer in status.peers))
    return f"a former {node.name}" if node.name and is_taken else node.name or str(node.identity)


def _rules_for(node: Excluded, rules: Sequence[Rule]) -> str:
    bound = (rule for rule in rules if rule.number in node.rules)
    texts = [rule_text(f"{rule.source} {rule.destination}") for rule in bound]
    return f"; rules for it: {listed(texts)}" if texts else ""


def _rejected(status: Status) -> Iterator[str]:
    if status.rejected_count:
        yield paint(f"rejected {count(status.rejected_count, 'record')}; the newest:", Colour.BAD)
    for record in status.rejected[-_NEWEST:]:
        yield f"  {since(record.time)}, from {record.source}: {record.reason} ({record.what})"
