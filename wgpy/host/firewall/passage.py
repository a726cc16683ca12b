"""Lets what a host forwards pass other programs' firewalls, by named rules in the chains that drop it.

Only rules with our name are ever deleted. What is dropped is found by reading, so nothing is sent or loaded.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any, Final

from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.host.iproute import read_reason
from wgpy.host.nftables import NftFailed, change_nft
from wgpy.host.program import run_program

from . import iptables, nft
from .verdict import Flow, dropper

_PROGRAMS: Final = {4: "iptables", 6: "ip6tables"}
_LEGACY_TABLES: Final = {4: Path("/proc/net/ip_tables_names"), 6: Path("/proc/net/ip6_tables_names")}
_USERS_CHAIN: Final = "DOCKER-USER"  # before Docker's own rules, which Docker leaves to others
_FAMILIES: Final = {4: "ip", 6: "ip6"}


class FirewallFailed(WgpyError):
    """The message is the reason."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule goes, to the beginning. program: `nft` or an iptables; table: of nft, with its family."""

    program: str
    table: str
    chain: str


@dataclass(frozen=True, slots=True)
class Drop:
    """What drops a flow, and where a rule would let it pass."""

    flow: Flow
    what: str
    place: Place

    @property
    def remedy(self) -> str:
        """Return a command that lets the flow pass."""
        pair = self.flow.arrives_by, self.flow.leaves_by
        if self.place.program == "nft":
            return f"nft '{_nft_rule(self.place, pair, '')}'"
        return shlex.join(_iptables_rule("-I", self.place, pair, ""))


@dataclass(frozen=True, slots=True)
class Firewall:
    """All rules of a host.

    ruleset: of nft; saved: what each iptables-save says, by program; is_watched: whether the kernel tells of
    all changes of them, by nft.
    """

    ruleset: Sequence[nft.Json]
    saved: Mapping[int, Mapping[str, str]]
    is_watched: bool

    @classmethod
    def read(cls) -> "Firewall":
        done = run_program(["nft", "-j", "-t", "-a", "list", "ruleset"])
        ruleset: list[Any] = (
            json.loads(done.stdout or "{}").get("nftables", []) if not done.returncode else []
        )
        saved = {version: dict(_saved(version)) for version in _PROGRAMS}
        return cls(ruleset, saved, not (done.returncode or any(map(_used_tables, _PROGRAMS))))

    def drops(self, flow: Flow) -> Iterator[Drop]:
        """Give what drops a flow for certain."""
        saved = self.saved[flow.version]
        for program, text in saved.items():
            chains = iptables.chains(text, flow)
            if iptables.BASE in chains and (rule := dropper(chains, iptables.BASE)) is not None:
                yield Drop(flow, _named(rule, iptables.BASE, program), _iptables_place(program, chains))
        for table, chain in nft.bases(self.ruleset, flow.version):
            if saved and table == f"{_FAMILIES[flow.version]} filter":
                continue  # that of iptables, which knows more of its own rules
            rule = dropper(nft.chains(self.ruleset, table, flow), chain)
            if rule is not None:
                yield Drop(flow, _named(rule, chain, f"table {table}"), Place("nft", table, chain))


def let_pass(name: str, flows: Sequence[Flow]) -> Firewall:
    """Have rules of this name where these flows are dropped, and no others; return what the rules are then.

    Raises FirewallFailed.
    """
    firewall = Firewall.read()
    if _delete(firewall, name, {(flow.arrives_by, flow.leaves_by) for flow in flows}):
        firewall = Firewall.read()
    drops = [drop for flow in flows for drop in firewall.drops(flow)]
    _insert({(drop.place, (drop.flow.arrives_by, drop.flow.leaves_by)) for drop in drops}, name)
    return Firewall.read() if drops else firewall


def tables_with(name: str, firewall: Firewall) -> frozenset[str]:
    """Return the tables that have rules of this name, those of an iptables too."""
    found = [rule.table for rule in nft.owned(firewall.ruleset, name)]
    if any(iptables.owned(text, name) for saved in firewall.saved.values() for text in saved.values()):
        found.append("filter")
    return frozenset(table.rpartition(" ")[2] for table in found)


def _saved(version: int) -> Iterator[tuple[str, str]]:
    """Give the programs that have rules, and their rules. Legacy tables that nobody uses are not loaded."""
    plain = _PROGRAMS[version]
    names = [name for name in (f"{plain}-nft", f"{plain}-legacy") if which(f"{name}-save")] or [plain]
    for name in names:
        if not name.endswith("-legacy") or _used_tables(version):
            done = run_program([f"{name}-save"])
            if not done.returncode and iptables.BASE in done.stdout:
                yield name, done.stdout


def _used_tables(version: int) -> list[str]:
    """Return the legacy tables that are in use, whose modules a look at others would load."""
    try:
        return _LEGACY_TABLES[version].read_text().split()
    except OSError:
        return []


def unread_programs() -> list[str]:
    """Return those that filter by rules which this process may not read: the legacy ones need CAP_NET_RAW."""
    used = [f"{plain}-legacy" for version, plain in _PROGRAMS.items() if "filter" in _used_tables(version)]
    return [name for name in used if run_program([f"{name}-save"]).returncode]


def _named(rule: str, chain: str, where: str) -> str:
    return f"{rule} of {where}" if rule.startswith("`") else rule or f"the policy of chain {chain} in {where}"


def _iptables_place(program: str, chains: Mapping[str, object]) -> Place:
    return Place(program, "", _USERS_CHAIN if _USERS_CHAIN in chains else iptables.BASE)


def _insert(wanted: Iterable[tuple[Place, tuple[str, str]]], name: str) -> None:
    for place, pair in sorted(wanted, key=str):
        if place.program == "nft":
            _change_nft(_nft_rule(place, pair, name))
        else:
            _run(_iptables_rule("-I", place, pair, name))


def _delete(firewall: Firewall, name: str, pairs: set[tuple[str, str]]) -> bool:
    """Delete the rules of this name for other pairs of interfaces; whether there were any."""
    stale = [rule for rule in nft.owned(firewall.ruleset, name) if rule.pair not in pairs]
    for rule in stale:
        _change_nft(f"delete rule {rule.table} {rule.chain} handle {rule.handle}")
    lines = [
        _iptables_rule("-D", Place(program, "", rule.chain), rule.pair, name)
        for saved in firewall.saved.values()
        for program, text in saved.items()
        for rule in iptables.owned(text, name)
        if rule.pair not in pairs
    ]
    for line in lines:
        _run(line)
    return bool(stale or lines)


def _nft_rule(place: Place, pair: tuple[str, str], name: str) -> str:
    comment = f' comment "{name}"' if name else ""
    rule = f'iifname "{pair[0]}" oifname "{pair[1]}" accept{comment}'
    return f"insert rule {place.table} {place.chain} {rule}"


def _iptables_rule(verb: str, place: Place, pair: tuple[str, str], name: str) -> list[str]:
    comment = ["-m", "comment", "--comment", name] if name else []
    return [place.program, "-w", verb, place.chain, "-i", pair[0], "-o", pair[1], *comment, "-j", "ACCEPT"]


def _change_nft(script: str) -> None:
    try:
        change_nft(f"{script}\n")
    except NftFailed as error:
        raise FirewallFailed(str(error)) from None


def _run(command: Sequence[str]) -> None:
    done = run_program(command)
    if done.returncode:
        raise FirewallFailed(f"`{shlex.join(command)}` failed: {read_reason(done.stderr)}")
