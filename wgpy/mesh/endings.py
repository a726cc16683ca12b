"""When and why memberships and tokens ended, as records tell. Times are Unix seconds, 0 for unknown."""

from typing import Final

from wgpy.mesh.admission import Exclusion
from wgpy.mesh.clock import compared, is_unset
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Node, Removal, Revocation, Token
from wgpy.mesh.signing import VerifyKey

# A node that is excluded for another reason may want its operator's attention.
OVER: Final = (
    Exclusion.REMOVED, Exclusion.DEPARTED, Exclusion.TOKEN_REVOKED, Exclusion.TOKEN_EXPIRED,
    Exclusion.MEMBERSHIP_EXPIRED,
)  # fmt: skip


def membership_ended(ledger: Ledger, identity: VerifyKey, reason: Exclusion) -> int:
    """Return when a node's membership ended. A departure has no time."""
    node, removal = ledger.node(identity), ledger.admin_records(Removal).get(bytes(identity))
    if reason is Exclusion.REMOVED and removal:
        return removal.time
    if node is None:
        return 0
    token = ledger.admin_records(Token).get(bytes(node.token))
    revocation = ledger.admin_records(Revocation).get(bytes(node.token))
    match reason:
        case Exclusion.TOKEN_REVOKED if revocation:
            return revocation.time
        case Exclusion.MEMBERSHIP_EXPIRED if token:
            return node.admitted + token.lifetime
        case Exclusion.TOKEN_EXPIRED if token:
            return token.expires
    return 0


def exclusion_text(
    ledger: Ledger, node: Node, reason: Exclusion, now: int, clock: str = "this host's clock"
) -> str:
    """Return why a node is no member; both times, if that is because of a time.

    now: by a clock; clock: whose.
    """
    match reason, ledger.find(Token, bytes(node.token)):
        case Exclusion.MEMBERSHIP_EXPIRED, Token(lifetime=lifetime):
            judge = "the newest admin record" if is_unset(now) else clock
            return f"{reason.value}: {compared(node.admitted + lifetime, ledger.judging_time(now), judge)}"
        case Exclusion.TOKEN_EXPIRED, Token(expires=expires):
            return f"{reason.value}: {compared(expires, node.admitted, 'its record')}"
    return reason.value


def token_ended(ledger: Ledger, token: Token, now: int) -> int:
    """Return when a token ceased to admit hosts: it was revoked, used up, or has expired; 0 if it admits."""
    revocation = ledger.admin_records(Revocation).get(bytes(token.key))
    admitted = sorted(node.admitted for node in ledger.nodes() if node.token == token.key)
    used_up = admitted[token.uses - 1] if len(admitted) >= token.uses else 0
    expired = token.expires if token.expires <= now else 0
    return min(filter(None, (revocation.time if revocation else 0, used_up, expired)), default=0)
