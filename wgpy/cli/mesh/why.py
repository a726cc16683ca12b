"""`wgpy mesh why`: in one look, why a node or an address is reachable or is not, and what to do.

Invariant: what decides is what was tried just now; what is known from before only explains it.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from wgpy.address import is_address, is_private, parse_endpoint
from wgpy.cli.changes import need_root
from wgpy.cli.colours import Colour, paint
from wgpy.cli.documents import Why
from wgpy.cli.mesh import (
    daemons,
    networks,
    probe,
    why_clients,
    why_names,
    why_paths,
    why_pods,
    why_ports,
    why_sites,
)
from wgpy.cli.mesh.output import columns, count, listed, report, since
from wgpy.cli.mesh.probe import Way
from wgpy.cli.mesh.status import exclusion
from wgpy.cli.mesh.why_ports import Permitted
from wgpy.cli.mesh.why_target import Target, find
from wgpy.cli.mesh.why_trial import Trial, try_to_reach
from wgpy.node.agent_client import Peer, Rule, Status
from wgpy.node.site_report import FRESH, SILENCE

_EVERYTHING: Final = Permitted()
_MARKS: Final = {True: "yes", False: "no", None: "?"}
_COLOURS: Final = {True: Colour.GOOD, False: Colour.BAD, None: Colour.NOTICE}
_VERDICTS: Final = {True: "is reachable", False: "is not reachable", None: "is not known to be reachable"}
_NOT_REACHABLE: Final = 1  # exit status


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that reaching a node depends on. good: None where nobody can tell.

    is_decisive: whether the node is not reachable if this is not good; advice: what to do, and where it is
    good what would be better.
    """

    subject: str
    good: bool | None
    text: str
    advice: str = ""
    is_decisive: bool = True


def why(arguments: Namespace) -> None:
    """Exit with status 1 if the node is not reachable. Raises CommandError and AgentError."""
    need_root("mesh why")
    findings = look(networks.selected(arguments), arguments.name)
    reachable = verdict(findings)
    _report(arguments, findings, reachable)
    if reachable is False:
        sys.exit(_NOT_REACHABLE)


def sentence(findings: Sequence[Finding]) -> str:
    """Return what is in the way, and what to do."""
    bad = (one for one in findings if one.good is False and one.is_decisive)
    found = next(bad, findings[-1])
    return f"{found.text}{'. ' if found.advice else ''}{found.advice}"


def look(network: str, text: str) -> list[Finding]:
    """Try to reach something, and return what that depends on. Raises CommandError and AgentError."""
    name, ports = why_ports.split(text)
    status, trial, permitted = daemons.status(network), None, Permitted()
    name = why_names.meant(status, name)
    if target := find(status, name):
        permitted = why_ports.permitted(network, target.peer.identity, target.ruled, ports, _now())
    if target and not _is_blocked(list(judge(status, name, _now(), permitted=permitted))):
        trial = try_to_reach(status, target, None if target.whole_site else permitted.tcp_port)
        status = daemons.status(network)
    return list(judge(status, name, _now(), trial, permitted))


def judged(status: Status, name: str) -> list[Finding]:
    """Return what is known without a trial. Raises CommandError for this node itself."""
    return list(judge(status, name, _now()))


def verdict(findings: Sequence[Finding]) -> bool | None:
    """Return whether what was looked for is reachable, None if nobody can tell."""
    return False if _is_blocked(findings) else findings[-1].good


def document(name: str, findings: Sequence[Finding]) -> Why:
    """Return the document of --json."""
    reachable = verdict(findings)
    return {
        "name": name,
        "reachable": reachable,
        "findings": {
            one.subject: {"good": one.good, "decisive": one.is_decisive, "text": one.text} for one in findings
        },
        "advice": [one.advice for one in findings if one.advice and (one.good or not reachable)],
    }


def summary(name: str, reachable: bool | None) -> str:
    """Return the verdict as a sentence."""
    return f"{name} {_VERDICTS[reachable]}."


def _report(arguments: Namespace, findings: Sequence[Finding], reachable: bool | None) -> None:
    found = document(arguments.name, findings)
    rows = [("", finding.subject, _mark(finding.good), finding.text) for finding in findings]
    lines = [paint(summary(arguments.name, reachable), _COLOURS[reachable]), columns(rows), *found["advice"]]
    report(arguments, found, "\n".join(lines))


def _mark(good: bool | None) -> str:
    return paint(_MARKS[good], _COLOURS[good])


def _is_blocked(findings: Sequence[Finding]) -> bool:
    return any(finding.good is False for finding in findings if finding.is_decisive)


def _now() -> int:
    return int(time.time())


# -- What it means. Pure. ----------------------------------------------------------------------------


def judge(
    status: Status, name: str, now: int, trial: Trial | None = None, permitted: Permitted = _EVERYTHING
) -> Iterator[Finding]:
    """Find what reaching a node depends on, in the order in which it has to be mended. now: Unix seconds.

    trial: None before anything was tried; permitted: what the rules let this node begin. Raises CommandError
    for this node itself.
    """
    target = find(status, name)
    yield _this_node(status)
    if not status.member:
        return
    yield from _nat(status)
    if target is None:
        yield _unknown(status, name)
        return
    yield _node(target)
    yield from _rules(status, target)
    yield from _ports(status, target, permitted)
    yield from _routes(status, target)
    if trial:
        yield _inner_way(status, target, trial)
    if way := why_paths.path(status, target.peer):
        yield Finding("path", True, way, why_paths.advice_for_direct(status, target.peer))
    yield _endpoint(status, target.peer, trial)
    if trial and trial.outer:
        yield _outer_way(status, trial.outer)
    yield from _silence(target.peer)
    yield _handshake(target.peer, now, trial)
    if trial and trial.is_up and trial.inner.interface == status.interface:
        yield from _udp(trial)
        yield _answer(status, target, trial, permitted)


def _this_node(status: Status) -> Finding:
    if status.member:
        return Finding("this node", True, f"{status.name}, a member of {status.network}")
    return Finding(
        "this node", False, f"no member: {exclusion(status)}",
        "`wgpy mesh leave`, then join again with a new token.",
    )  # fmt: skip


def _nat(status: Status) -> Iterator[Finding]:
    kind = f", which {why_paths.nat_words(status.nat_kind)}" if status.nat_kind else ""
    if status.nat and status.keepalive:
        text = f"{status.name} is behind {status.nat}{kind}, and sends keepalives every {status.keepalive} s"
        yield Finding("NAT", True, text)
    elif status.nat:
        yield Finding(
            "NAT", None, f"{status.name} is behind {status.nat}{kind}, and sends no keepalives",
            "`wgpy mesh keepalive auto` keeps this node reachable behind its NAT.",
        )  # fmt: skip
    elif status.filtered:
        keepalives = f"keepalives every {status.keepalive} s" if status.keepalive else "no keepalives"
        text = f"in front of {status.name} lets nothing in that was not asked for; it sends {keepalives}"
        advice = f"To be reached directly, let UDP port {status.listen_port} in there."
        yield Finding("firewall", None, text, advice)


def _unknown(status: Status, name: str) -> Finding:
    if found := why_sites.unreached(status, name):
        return Finding("site", False, *found)
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
    what = "none with that address, or a route to it," if is_address(name) else "none of that name"
    return Finding("node", False, f"{what} is known here", advice)


def _node(target: Target) -> Finding:
    peer = target.peer
    if target.client:
        return Finding("client", True, why_clients.way(target.client, _name(peer)))
    if target.site:
        return Finding("site", True, why_sites.way(target.site, _name(peer), target.address, target.prefix))
    if target.prefix:
        return Finding("node", True, f"{_name(peer)} announces {target.prefix}")
    return Finding("node", True, f"{_name(peer)}, known as {peer.address} and {peer.address6}")


def _rules(status: Status, target: Target) -> Iterator[Finding]:
    """Say who of the two may begin, and by which rule: replies pass in any case."""
    if not status.rules:
        yield Finding("rule", True, "none, so everybody reaches everybody")
        return
    rules = {rule.number: rule for rule in status.rules}
    peer = target.peer
    name = _name(peer)
    allowed = f"`wgpy mesh allow {status.name} {_destination(target)}` lets this node begin."
    advice = "" if peer.outbound_rule else allowed
    outbound = _direction(status.name, name, rules.get(peer.outbound_rule))
    decides = not target.client  # a rule for the client suffices
    yield Finding("outbound", bool(peer.outbound_rule), outbound, advice, decides)
    inbound = _direction(name, status.name, rules.get(peer.inbound_rule))
    yield Finding("inbound", bool(peer.inbound_rule), inbound, is_decisive=False)


def _ports(status: Status, target: Target, permitted: Permitted) -> Iterator[Finding]:
    """Say by which rule this node may begin to each of the ports that are asked about."""
    name = _destination(target)
    for ports, rule in permitted.rules.items():
        if rule:
            yield Finding(f"{ports}", True, f"{status.name} may begin to {name}:{ports}: {rule}")
        else:
            yield Finding(
                f"{ports}", False, f"{status.name} may not begin to {name}:{ports}: no rule says so",
                f"`wgpy mesh allow {status.name} {name}:{ports}` lets this node begin.",
            )  # fmt: skip


def _destination(target: Target) -> str:
    """Return what a rule names to open no more than what is meant."""
    if target.client:
        return f"client:{target.client.name}"
    if target.site:
        return why_sites.destination(target.site, target.address, target.prefix)
    return _name(target.peer)


def _direction(source: str, destination: str, rule: Rule | None) -> str:
    if rule is None:
        return f"{source} may not begin to {destination}: no rule says so"
    selectors = " ".join(selector.removeprefix("node:") for selector in (rule.source, rule.destination))
    return f"{source} may begin to {destination}: allow {selectors} (rule {rule.number})"


def _routes(status: Status, target: Target) -> Iterator[Finding]:
    """Prefixes of the site that is meant decide; those of others do not."""
    peer = target.peer
    if target.site and not target.prefix and (missing := why_sites.left_out(status, target.site)):
        yield Finding("route", False, "; ".join(missing), why_sites.to_be_mapped(target.site))
    elif peer.left_out:
        yield Finding("route", None, "; ".join(peer.left_out))
    elif peer.routes:
        pods = "" if target.site else why_pods.of_same_cluster(status, peer.name, target.prefix)
        yield Finding("route", True, pods or f"also to {listed(peer.routes)}")


def _inner_way(status: Status, target: Target, trial: Trial) -> Finding:
    """Say where the kernel sends a packet for the target."""
    if not trial.is_up:
        return Finding(
            "inner way", False, f"{status.interface} is down",
            f"`ip link set {status.interface} up`, and see the warnings of `wgpy mesh status`.",
        )  # fmt: skip
    if trial.inner.interface != status.interface:
        return Finding(
            "inner way", False, f"{trial.inner}, and not by {status.interface}",
            f"Another route or rule takes it: see `ip route get {target.address}` and `ip rule`.",
        )  # fmt: skip
    return Finding("inner way", True, str(trial.inner))


def _endpoint(status: Status, peer: Peer, trial: Trial | None) -> Finding:
    if peer.endpoint:
        nat = _nat_of(peer, trial)
        whose = f", of the relay {peer.relay}" if peer.relay else ""
        return Finding("endpoint", True, f"{peer.endpoint}{whose}{nat}")
    return Finding(
        "endpoint", None, "unknown, so this node waits to be called",
        f"If {peer.name} cannot call {status.name} either: map a UDP port to one of the two, and say it with "
        f"--endpoint when that joins. {why_paths.ADVICE}",
    )  # fmt: skip


def _nat_of(peer: Peer, trial: Trial | None) -> str:
    if peer.nat:
        return f"; {_name(peer)} is behind a NAT, which {why_paths.nat_words(peer.nat)}"
    return f"; {_name(peer)} is probably behind a NAT" if trial and is_behind_nat(peer, trial) else ""


def _outer_way(status: Status, way: Way) -> Finding:
    """Say where the kernel sends the sealed datagram. Another endpoint may do, so this decides nothing."""
    if way.error:
        advice = f"This host has no route to the endpoint ({way.error}): see `ip route`."
        return Finding("outer way", False, str(way), advice, is_decisive=False)
    if way.interface == status.interface:
        advice = "A route takes the tunnel's own datagrams into the tunnel: see `ip rule` and `ip route`."
        return Finding("outer way", False, str(way), advice, is_decisive=False)
    return Finding("outer way", True, str(way))


def _silence(peer: Peer) -> Iterator[Finding]:
    if peer.unanswered > SILENCE:
        text = f"nothing came for {count(peer.unanswered, 'second')}, although this node sent"
        yield Finding("traffic", False, text, is_decisive=False)


def _handshake(peer: Peer, now: int, trial: Trial | None) -> Finding:
    if not peer.last_handshake:
        was_called = trial is not None and peer.endpoint
        return Finding("handshake", None, f"never{', although this node began one' if was_called else ''}")
    text = since(peer.last_handshake)
    return Finding("handshake", True if now - peer.last_handshake <= FRESH else None, text)


def _udp(trial: Trial) -> Iterator[Finding]:
    """No answer proves nothing: nodes of older versions do not answer."""
    answered = [
        f"{answer.endpoint} within {why_paths.milliseconds(answer.microseconds)}"
        for answer in trial.udp
        if answer.answered
    ]
    if answered:
        yield Finding("UDP", True, f"answered from {listed(answered)}")
    elif trial.udp:
        endpoints = listed(answer.endpoint for answer in trial.udp)
        yield Finding("UDP", None, f"no answer from {endpoints}", is_decisive=False)


def _answer(status: Status, target: Target, trial: Trial, permitted: Permitted) -> Finding:
    if trial.port is not None:
        return _connection(status, target, trial, trial.port)
    if trial.milliseconds is None and not permitted.ping:
        text = "no rule lets this node ping it, so it says nothing that no answer came"
        return Finding("ping", None, text)
    if trial.milliseconds is not None:
        return Finding("ping", True, f"{target.address} answered within {trial.milliseconds:.1f} ms")
    if target.client and (trial.received or any(answer.answered for answer in trial.udp)):
        return Finding("ping", None, *why_clients.silence(target.client, _name(target.peer)))
    if trial.received:
        text = f"{target.address} did not answer, but {_name(target.peer)} sent something"
        advice = f"The tunnel works. Perhaps a firewall drops pings to {target.address}, or it is down."
        return Finding("ping", None, text, advice)
    text = f"no answer within {probe.WAITING_TIME:.0f} s, and nothing else came"
    return Finding("ping", False, text, _advice(status, target.peer, trial))


def _connection(status: Status, target: Target, trial: Trial, port: int) -> Finding:
    where = f"{target.address}, port {port}"
    if trial.milliseconds is None:
        text = f"{where} did not answer within {probe.WAITING_TIME:.0f} s"
        advice = (
            _advice(status, target.peer, trial)
            if not trial.received
            else (f"The tunnel works. Perhaps a firewall drops what is for port {port} there.")
        )
        return Finding("connection", False, text, advice)
    text = f"{where} answered within {trial.milliseconds:.1f} ms"
    if trial.refused:
        advice = f"Packets arrive there, but no program listens at port {port}, or a firewall refuses it."
        return Finding("connection", False, f"{text}, and refused the connection", advice)
    return Finding("connection", True, text)


def _advice(status: Status, peer: Peer, trial: Trial) -> str:
    """Return what to look at if nothing comes."""
    name = _name(peer)
    if any(answer.answered for answer in trial.udp):
        return f"The host of {name} answers by UDP, but its node does not: see `wgpy mesh status` there."
    if peer.relay:
        return why_paths.advice_by_relay(peer, trial.relay)
    advice = (
        f"See that {name} runs, and that UDP passes from here to {peer.endpoint or name}, or from there to "
        f"port {status.listen_port} of this host."
    )
    if is_behind_nat(peer, trial):
        advice += (
            f" {name} is probably behind a NAT: it is reached while it sends keepalives (there: `wgpy mesh "
            "keepalive auto`), or if the NAT maps a UDP port to it."
        )
        if status.nat and not peer.relays:
            advice += f" {why_paths.ADVICE}"
    return advice


def is_behind_nat(peer: Peer, trial: Trial) -> bool:
    """Return whether a peer seems to be behind a NAT: of IPv4, private addresses and a public one are there.

    A gateway has both, too; so a public one at which it was reached just now is taken for its own, unless it
    says that others cannot dial it.
    """
    endpoints = {endpoint: parse_endpoint(endpoint).address for endpoint in peer.endpoints}
    addresses = {one: ip_address(address) for one, address in endpoints.items() if ":" not in address}
    public = {endpoint for endpoint, address in addresses.items() if not is_private(address)}
    reached = {answer.endpoint for answer in trial.udp if answer.answered}
    if trial.received or trial.milliseconds is not None:
        reached.add(peer.endpoint)
    return 0 < len(public) < len(addresses) and (peer.hidden or public.isdisjoint(reached))


def _name(peer: Peer) -> str:
    return peer.name or str(peer.identity)
