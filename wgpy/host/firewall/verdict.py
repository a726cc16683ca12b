"""What chains of rules do with a flow that a host forwards. Pure; nft(8), iptables(8)

A rule may ask what cannot be told from here, such as a set or a port. So a flow is said to be dropped only
where that is certain, whatever such a rule answers.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from wgpy.contract.lazy_dataclass import dataclass

ACCEPT: Final = "accept"
DROP: Final = "drop"
_JUMP: Final = "jump"
_GOTO: Final = "goto"
_RETURN: Final = "return"


@dataclass(frozen=True, slots=True)
class Flow:
    """TCP, to any port, without a mark. arrives_by, leaves_by: interfaces; state: of its connection."""

    arrives_by: str
    leaves_by: str
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    state: str

    @property
    def version(self) -> int:
        return self.source.version

    def reply(self) -> "Flow":
        return Flow(self.leaves_by, self.arrives_by, self.destination, self.source, "established")


class Step(NamedTuple):
    """A rule, as far as it concerns a flow.

    matches: None if that cannot be told; action: "" for none that ends or branches; target: the chain that it
    branches to; text: which rule it is.
    """

    matches: bool | None
    action: str
    target: str = ""
    text: str = ""


class Chain(NamedTuple):
    """policy: what becomes of a flow at the end of a base chain, "" of another one."""

    steps: Sequence[Step]
    policy: str = ""


class _Outcome(NamedTuple):
    """action: ACCEPT, DROP, or "" for neither; is_certain: no rule whose answer is unknown may accept."""

    action: str
    text: str
    is_certain: bool


def dropper(chains: Mapping[str, Chain], base: str) -> str | None:
    """Return the rule that drops a flow, "" if the policy does; None if it passes or that cannot be told."""
    outcome = _walk(chains, base)
    if not outcome.is_certain or outcome.action == ACCEPT:
        return None
    return outcome.text if outcome.action == DROP or chains[base].policy == DROP else None


def _walk(chains: Mapping[str, Chain], name: str) -> _Outcome:
    is_certain = True
    for step in chains[name].steps if name in chains else ():
        if step.matches is False:
            continue
        found = _outcome(chains, step)
        is_certain = is_certain and found.is_certain
        if step.matches and found.action:
            return found._replace(is_certain=is_certain)
        if step.matches and step.action in (_RETURN, _GOTO):
            break
        if found.action == ACCEPT or step.action == _RETURN:
            is_certain = False
    return _Outcome("", "", is_certain)


def _outcome(chains: Mapping[str, Chain], step: Step) -> _Outcome:
    """Return what a rule does where it matches."""
    if step.action in (_JUMP, _GOTO):
        return _walk(chains, step.target)
    return _Outcome(step.action if step.action in (ACCEPT, DROP) else "", step.text, is_certain=True)
