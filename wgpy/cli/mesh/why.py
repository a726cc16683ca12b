"""`wgpy mesh why`: in one look, why a node is reachable or is not, and what to do."""

import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wgpy.cli.changes import need_root
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import columns, listed, report, since
from wgpy.node.agent_client import Peer, Rule, Status

_FRESH: Final = 180  # seconds: an older session carries nothing. Whitepaper 6.1
_MARKS: Final = {True: "yes", False: "no", None: "?"}
_VERDICTS: Final = {True: "is reachable", False: "is not reachable", None: "is not known to be reachable"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that reaching a node depends on. good: None where nobody can tell.

    is_decisive: whether the node is not reachable if this is not good.
    """

    subject: str
    good: bool | None
    text: str
    advice: str = ""
    is_decisive: bool = True


def why(arguments: Namespace) -> None:
    """Raises CommandError."""
    need_root("mesh why")
    status = daemons.status(networks.selected(arguments))
    findings = list(judge(status, arguments.name, int(time.time())))
    is_blocked = any(finding.good is False for finding in findings if finding.is_decisive)
    reachable = False if is_blocked else findings[-1].good
    advice = [finding.advice for finding in findings if finding.advice]
    document = {
        "name": arguments.name,
        "reachable": reachable,
        "findings": {finding.subject: {"good": finding.good, "text": finding.text} for finding in findings},
        "advice": advice,
    }
    rows = [("", finding.subject, _MARKS[finding.good], finding.text) for finding in findings]
    lines = [f"{arguments.name} {_VERDICTS[reachable]}.", columns(rows), *advice]
    report(arguments, document, "\n".join(lines))


def judge(status: Status, name: str, now: int) -> Iterator[Finding]:
    """Find what reaching a node depends on, in the order in which it has to be mended. now: Unix seconds.

    Raises CommandError for this node itself.
    """
    if name in (status.name, str(status.identity)):
        raise CommandError(f"{name} is this node; `wgpy mesh status` shows it")
    yield _this_node(status)
    if not status.member:
        return
    peer = next((peer for peer in status.peers if name in (peer.name, str(peer.identity))), None)
    if peer is None:
        yield _unknown(status, name)
        return
    yield Finding("node", True, f"known as {peer.address} and {peer.address6}")
    yield from _rules(status, peer)
    yield from _routes(peer)
    yield _endpoint(status, peer)
    yield _handshake(status, peer, now)


def _this_node(status: Status) -> Finding:
    if status.member:
        return Finding("this node", True, f"{status.name}, a member of {status.network}")
    return Finding(
        "this node", False, f"no member: {status.exclusion}",
        "`wgpy mesh leave`, then join again with a new token.",
    )  # fmt: skip


def _unknown(status: Status, name: str) -> Finding:
    for node in status.excluded:
        if name in (node.name, str(node.identity)):
            advice = "It can join again with a new token; see `wgpy mesh token --help`."
            return Finding("node", False, f"no member: {node.reason}", advice)
    known = listed(sorted(peer.name for peer in status.peers), "none")
    advice = f"`wgpy mesh node-list` says whether it has joined. Known here: {known}."
    if status.rules:
        advice += " A rule may be missing: see `wgpy mesh allow --help`."
    if not status.connected:
        advice += " The coordinator does not answer, so what is new is not known."
    return Finding("node", False, "none of that name is known here", advice)


def _rules(status: Status, peer: Peer) -> Iterator[Finding]:
    """Say who of the two may begin, and by which rule: replies pass in any case."""
    if not status.rules:
        yield Finding("rule", True, "none, so everybody reaches everybody")
        return
    rules = {rule.number: rule for rule in status.rules}
    name = peer.name or str(peer.identity)
    advice = "" if peer.outbound_rule else f"`wgpy mesh allow {status.name} {name}` lets this node begin."
    outbound = _direction(status.name, name, rules.get(peer.outbound_rule))
    yield Finding("outbound", bool(peer.outbound_rule), outbound, advice)
    inbound = _direction(name, status.name, rules.get(peer.inbound_rule))
    yield Finding("inbound", bool(peer.inbound_rule), inbound, is_decisive=False)


def _direction(source: str, destination: str, rule: Rule | None) -> str:
    if rule is None:
        return f"{source} may not begin to {destination}: no rule says so"
    selectors = " ".join(selector.removeprefix("node:") for selector in (rule.source, rule.destination))
    return f"{source} may begin to {destination}: allow {selectors} (rule {rule.number})"


def _routes(peer: Peer) -> Iterator[Finding]:
    if peer.left_out:
        yield Finding("route", None, "; ".join(peer.left_out))
    elif peer.routes:
        yield Finding("route", True, f"also to {listed(peer.routes)}")


def _endpoint(status: Status, peer: Peer) -> Finding:
    if peer.endpoint:
        return Finding("endpoint", True, peer.endpoint)
    return Finding(
        "endpoint", None, "unknown, so this node waits to be called",
        f"If {peer.name} cannot call {status.name} either: map a UDP port to one of the two, and say it with "
        "--endpoint when that joins.",
    )  # fmt: skip


def _handshake(status: Status, peer: Peer, now: int) -> Finding:
    text = since(peer.last_handshake)
    if not peer.last_handshake:
        advice = (
            f"`ping {peer.address}` begins one. If that does not help, see that UDP passes from here to "
            f"{peer.endpoint or peer.name}, or from there to port {status.listen_port} of this host."
        )
        return Finding("handshake", None, "never", advice)
    if now - peer.last_handshake > _FRESH:
        return Finding(
            "handshake", None, text, f"Nothing passed since; `ping {peer.address}` begins a new one."
        )
    return Finding("handshake", True, text)
