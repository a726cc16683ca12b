"""A rule: which nodes may begin a flow to which.

A rule is for a node by its identity, as a name can be taken by another node. The selector of an identity is
`node:` and its 32 bytes in base32, which older programs take for a name that no node has. A rule of an older
program may have the name of a node there, and is for whichever node has that.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from wgpy.mesh.signing import VerifyKey

from .base import NAME, Audience, Author, Kind, NameOf, check_record

_NODE: Final = "node:"
_PADDING: Final = "===="  # of 32 bytes in base32, RFC 4648
_LENGTH: Final = len(_NODE) + 52  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Nodes that `source` selects may begin to those that `destination` selects; replies pass.

    source, destination: `any`, `tag:NAME`, `node:IDENTITY` or, in older ones, `node:NAME`; allowed: False
    takes the rule back.
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


def node_selector(identity: VerifyKey) -> str:
    """Return the selector of a node."""
    return _NODE + base64.b32encode(bytes(identity)).decode().rstrip("=").lower()


def identity_of(selector: str) -> VerifyKey | None:
    """Return whose selector it is; None if it is not that of an identity."""
    if len(selector) != _LENGTH or not selector.startswith(_NODE):
        return None
    try:
        key = VerifyKey(base64.b32decode(selector.removeprefix(_NODE).upper() + _PADDING))
    except (binascii.Error, ValueError):
        return None
    return key if node_selector(key) == selector else None  # it has one spelling


def is_by_name(selector: str) -> bool:
    """Return whether it selects whichever node has a name, as those of older versions do."""
    return selector.startswith(_NODE) and identity_of(selector) is None


def _audit(rule: Rule, before: Rule | None, name_of: NameOf) -> str:
    source, destination = (_audited(selector, name_of) for selector in (rule.source, rule.destination))
    return f"rule {source} to {destination}" + ("" if rule.allowed else " taken back")


def _audited(selector: str, name_of: NameOf) -> str:
    identity = identity_of(selector)
    return selector if identity is None else _NODE + name_of(identity)


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
