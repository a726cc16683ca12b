"""A scope: one side of a rule that is not just nodes, such as ports of one. A rule has the scope's selector.

Programs that know no scopes keep them as `Unknown`, and take the selector for a tag, which no node has: so
for them such a rule allows nothing, and not all ports. The same is so where the scope is withheld.
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.ports import Ports, merged, ports_text
from wgpy.mesh.signing import VerifyKey

from .base import NAME, Audience, Author, Kind, NameOf, check_count, check_record
from .rule import identity_of

ANY: Final = "any"
_SCOPE: Final = "tag:scope-"
_REMEMBERED: Final = 16_384
_KINDS: Final = ("node", "tag", "site", "client")


@dataclass(frozen=True, slots=True)
class End:
    """One side of a rule. selector: what it selects; prefixes: of that only these; ports: only to these.

    selector: `any`, or `node`, `tag`, `site` or `client`, a colon and a name; without prefixes or ports: all.
    Prefixes are of a site, as they are there; ports are in their order, as few ranges as can be.
    """

    selector: str
    prefixes: tuple[Prefix, ...] = ()
    ports: tuple[Ports, ...] = ()

    def __post_init__(self) -> None:
        kind, _, name = self.selector.partition(":")
        if self.selector != ANY and not (kind in _KINDS and NAME.fullmatch(name)):
            raise ValueError(f"{self.selector!r} is neither any nor node, tag, site or client and a name")
        check_count(self.prefixes, "prefixes")
        check_count(self.ports, "ranges of ports")
        if self.prefixes and kind != "site":
            raise ValueError("prefixes are of a site")
        if self.ports != merged(self.ports):
            raise ValueError("ports are in their order, as few ranges as can be")

    @property
    def text(self) -> str:
        """What distinguishes it from other ends; `wgpy mesh allow` takes it if there is a prefix at most."""
        within = ",".join(f"[{each}]" if each.version == 6 else str(each) for each in self.prefixes)
        ports = ports_text(self.ports)
        return self.selector + (f"/{within}" if within else "") + (f":{ports}" if ports else "")

    @property
    def is_selector(self) -> bool:
        """Return whether a rule needs no scope for it."""
        return not (self.prefixes or self.ports or self.selector.startswith(("site:", "client:")))

    @property
    def rule_selector(self) -> str:
        """What a rule has for it: its own selector, or that of its scope."""
        return self.selector if self.is_selector else scope_selector(self.digest)

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for it."""
        return hashlib.blake2s(self.text.encode()).digest()


@lru_cache(_REMEMBERED)  # as each topology needs those of all scopes
def scope_selector(digest: bytes) -> str:
    """Return what a rule has for an end with a scope. digest: of the end."""
    return _SCOPE + base64.b32encode(digest).decode().rstrip("=").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the selector of a scope stands for."""

    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    end: End

    def __post_init__(self) -> None:
        check_record(self)
        if self.end.is_selector:
            raise ValueError(f"a rule needs no scope for {self.end.selector}")


def _audit(scope: Scope, before: Scope | None, name_of: NameOf) -> str:
    identity = identity_of(scope.end.selector)
    shown = scope.end.text
    if identity is not None:
        shown = shown.replace(scope.end.selector, f"node:{name_of(identity)}", 1)
    return f"scope {scope.end.rule_selector}: {shown}"


KIND: Final[Kind[Scope]] = Kind(
    name="scope",
    version=1,
    record=Scope,
    author=Author.ADMINISTRATOR,
    audience=Audience.EVERYBODY,
    limit=100_000,
    subject=lambda scope: scope.end.digest,
    describe=lambda scope: f"scope {scope.sequence}",
    audit=_audit,
)
