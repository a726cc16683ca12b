"""The rules of iptables, as `iptables-save` lists them, and what they do with a flow. Pure; iptables(8)"""

import shlex
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Final, NamedTuple

from .verdict import DROP, Chain, Flow, Step

BASE: Final = "FORWARD"
_TARGETS: Final = {"ACCEPT": "accept", "DROP": DROP, "REJECT": DROP, "RETURN": "return"}
_NOT_BRANCHES: Final = {"LOG", "MARK", "CONNMARK", "NFLOG", "TCPMSS", "SET", "TRACE", "AUDIT", "SECMARK"}


class Owned(NamedTuple):
    """A rule with a comment of ours. pair: by which interfaces its packets come and leave."""

    chain: str
    pair: tuple[str, str]


def rules(saved: str) -> list[list[str]]:
    """Return the words of the rules of the table `filter`. saved: what `iptables-save` says."""
    table, found = "", []
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif table == "filter" and line.startswith("-A "):
            found.append(shlex.split(line))
    return found


def chains(saved: str, flow: Flow) -> Mapping[str, Chain]:
    """Return the chains of the table `filter`, as a flow passes them."""
    steps: dict[str, list[Step]] = {}
    for words in rules(saved):
        steps.setdefault(words[1], []).append(_step(words, flow))
    policies = _policies(saved)
    return {name: Chain(steps.get(name, ()), policies.get(name, "")) for name in {*policies, *steps}}


def owned(saved: str, comment: str) -> list[Owned]:
    """Return the rules that have a comment."""
    return [
        Owned(words[1], (_after("-i", words), _after("-o", words)))
        for words in rules(saved)
        if _after("--comment", words) == comment
    ]


def _after(option: str, words: list[str]) -> str:
    return words[words.index(option) + 1] if option in words else ""


def _policies(saved: str) -> Mapping[str, str]:
    table, found = "", {}
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif table == "filter" and line.startswith(":"):
            name, policy, *_ = line[1:].split()
            found[name] = "" if policy == "-" else policy.lower()
    return found


def _step(words: list[str], flow: Flow) -> Step:
    answers = list(_answers(words[2:], flow))
    matches = False if False in answers else None if None in answers else True
    jump = next((option for option in ("-j", "-g") if option in words), "")
    target, text = _after(jump, words), f"`{shlex.join(words)}`"
    if target in _TARGETS or target in _NOT_BRANCHES or not jump:
        return Step(matches, _TARGETS.get(target, ""), "", text)
    return Step(matches, "jump" if jump == "-j" else "goto", target, text)


def _answers(words: list[str], flow: Flow) -> Iterator[bool | None]:
    """Give for each thing that a rule asks for whether a flow has it."""
    is_negated = False
    at = 0
    while at < len(words) and words[at] not in ("-j", "-g"):
        option, at = words[at], at + 1
        if option == "!":
            is_negated = True
            continue
        end = at
        while end < len(words) and not words[end].startswith("-") and words[end] != "!":
            end += 1
        answer = _answer(option, words[at:end], flow)
        yield answer if answer is None or not is_negated else not answer
        is_negated, at = False, end


def _answer(option: str, values: list[str], flow: Flow) -> bool | None:
    value = values[0] if values else ""
    match option:
        case "-i":
            return fnmatchcase(flow.arrives_by, value.replace("+", "*"))
        case "-o":
            return fnmatchcase(flow.leaves_by, value.replace("+", "*"))
        case "-s":
            return flow.source in ip_network(value, strict=False)
        case "-d":
            return flow.destination in ip_network(value, strict=False)
        case "-p":
            return value in ("tcp", "all")
        case "--ctstate" | "--state":
            return flow.state.upper() in value.split(",")
        case "--mark":
            return int(value.partition("/")[0], 16) == 0
        case "-m" | "--comment":
            return True
    return None
