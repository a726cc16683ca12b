"""Who asks, and what for: every request but two proves a key."""

from dataclasses import dataclass
from enum import Enum

from wgpy.mesh.records import Revocation, Token
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.wire import check_proof

from .challenges import Challenges
from .errors import Denial
from .snapshot import Snapshot


class Role(Enum):
    """What a key is here."""

    NETWORK = "the network's key"
    MEMBER = "a member"
    TOKEN = "a token"


@dataclass(frozen=True, slots=True)
class Asker:
    key: VerifyKey
    role: Role


def prove(said: str | None, network: bytes, challenges: Challenges, clock: int) -> VerifyKey:
    """Return whose request it is. clock: as of the challenges. Raises Denial."""
    if not said:
        raise Denial(401, "prove a key: sign the challenge of /v1/hello")
    try:
        key, challenge = check_proof(said, network)
    except ValueError as error:
        raise Denial(401, f"the proof is none: {error}") from None
    if not challenges.is_fresh(challenge, clock):
        raise Denial(401, "the challenge is too old, or of another coordinator: ask /v1/hello for a new one")
    return key


def asker_of(key: VerifyKey, book: Snapshot, now: int) -> Asker:
    """Return what a key is here. now: Unix seconds. Raises Denial with the reason why it is nothing."""
    if key == book.ledger.key:
        return Asker(key, Role.NETWORK)
    topology = book.topology_at(now)
    if topology.member(key) is not None:
        return Asker(key, Role.MEMBER)
    if (reason := topology.excluded.get(key)) is not None:
        raise Denial(403, f"this node is no member: {reason.value}")
    token = book.ledger.admin_records(Token).get(bytes(key))
    if token is None:
        raise Denial(
            403, "this key is neither a node's nor a token's nor the network's, as far as is known here"
        )
    if bytes(key) in book.ledger.admin_records(Revocation):
        raise Denial(403, "the token was revoked")
    if trouble := book.token_trouble(token, now):
        raise Denial(403, trouble)
    return Asker(key, Role.TOKEN)
