"""Who is a member, this node included, as its records and its clock say."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from wgpy.mesh.admission import Exclusion
from wgpy.mesh.endings import exclusion_text
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.selectors import names_of, naming, rule_text, shown_rule
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import Topology, derive

from .warnings import Warnings

_LOG = logging.getLogger("wgpy")

_FINAL: Final = (Exclusion.REMOVED, Exclusion.DEPARTED)  # such an identity will never be a member again

Excluded = Mapping[VerifyKey, Exclusion]


class Membership:
    """Of all nodes.

    topology: what was derived last; noticed: when nodes were found to be excluded, Unix seconds, of those
    that were members at some time while the agent ran.
    """

    def __init__(
        self, ledger: Ledger, local: VerifyKey, warnings: Warnings, clock: Callable[[], float]
    ) -> None:
        """local: this node's identity; clock: seconds since 1970."""
        self.topology = Topology((), {}, ())
        self.noticed: dict[VerifyKey, int] = {}
        self._clock = clock
        self._ledger = ledger
        self._local = local
        self._warnings = warnings

    @property
    def exclusion(self) -> Exclusion | None:
        """Why this node is no member; None if it is one, or nobody has heard of it."""
        return self.topology.excluded.get(self._local)

    @property
    def is_over(self) -> bool:
        """Whether this node will never be a member again."""
        return self.exclusion in _FINAL

    @property
    def seconds_left(self) -> float:
        """Until the next membership ends; infinity if none ever does."""
        return self.topology.until - self._clock()

    def derive(self) -> Topology:
        """Judge all nodes anew."""
        now = int(self._clock())
        before, self.topology = self.topology, derive(self._ledger, now, self.topology, self._local)
        self._log_excluded(before.excluded)
        if before.members or before.excluded:  # what is so at the start may be old
            self._note(self.topology.excluded.keys() - before.excluded.keys())
        reason = self.exclusion
        if reason is not before.excluded.get(self._local):  # else the log would repeat it with another time
            why = reason and self._text(self._local, reason)
            self._warnings.set("member", f"this node is no member: {why}" if why else "")
        return self.topology

    def _note(self, identities: Iterable[VerifyKey]) -> None:
        for identity in identities:
            self.noticed[identity] = int(self._clock())

    def _log_excluded(self, before: Excluded) -> None:
        """Log who is so since then, at most one line for all; who was removed or left is no news."""
        now = self.topology.excluded
        new = [
            identity for identity, reason in now.items() if identity not in before and reason not in _FINAL
        ]
        if new:
            more = f"; so are {len(new) - 1} more" if len(new) > 1 else ""
            why = self._text(new[0], now[new[0]])
            _LOG.warning("%s is no member: %s%s%s", new[0], why, self._rules_for(new[0]), more)

    def _text(self, identity: VerifyKey, reason: Exclusion) -> str:
        node = self._ledger.node(identity)
        return exclusion_text(self._ledger, node, reason, int(self._clock())) if node else reason.value

    def _rules_for(self, identity: VerifyKey) -> str:
        """Return the rules for a node that is no member, or ""."""
        names = names_of(self._ledger.nodes(), self.topology)
        ends = self.topology.ends
        naming_it = naming(self.topology.rules, identity, ends)
        rules = [rule_text(shown_rule(rule, names, ends)) for rule in naming_it]
        return f"; rules for it: {', '.join(rules)}" if rules else ""
