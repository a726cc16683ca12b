"""A rule: which nodes may begin a flow to which."""

from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import NAME, Audience, Author, Kind, NameOf, check_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Nodes that `source` selects may begin to those that `destination` selects; replies pass.

    source, destination: `any`, `node:NAME` or `tag:NAME`; allowed: False takes the rule back.
    """

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    source: str
    destination: str
    allowed: bool

    def __post_init__(self) -> None:
        check_record(self)
        for selector in (self.source, self.destination):
            kind, _, name = selector.partition(":")
            if selector != "any" and not (kind in ("node", "tag") and NAME.fullmatch(name)):
                raise ValueError(f"{selector!r} is not any, node:NAME or tag:NAME")

    @property
    def text(self) -> str:
        """What distinguishes it from other rules."""
        return f"{self.source} {self.destination}"


def _audit(rule: Rule, before: Rule | None, name_of: NameOf) -> str:
    return f"rule {rule.source} to {rule.destination}" + ("" if rule.allowed else " taken back")


KIND: Final[Kind[Rule]] = Kind(
    name="rule",
    version=1,
    record=Rule,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda rule: rule.text.encode(),
    describe=lambda rule: f"rule {rule.sequence}",
    audit=_audit,
)
