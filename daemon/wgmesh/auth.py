"""Authentication by a key, and authorization by what the key is in the network."""

from dataclasses import dataclass
from enum import Enum

from wgpy.mesh.endings import exclusion_text
from wgpy.mesh.records import Revocation, Token
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.wire import check_proof

from .challenges import Challenges
from .errors import Denial
from .snapshot import COORDINATORS_CLOCK, Snapshot


class Role(Enum):
    """What a key is in the network."""

    NETWORK = "the network's key"
    MEMBER = "a member"
    TOKEN = "a token"


@dataclass(frozen=True, slots=True)
class Client:
    """Who makes a request."""

    key: VerifyKey
    role: Role


def authenticate(proof: str | None, network: bytes, challenges: Challenges, clock: int) -> VerifyKey:
    """Return the key that signed the challenge. clock: as of the challenges. Raises Denial."""
    if not proof:
        raise Denial(401, "prove a key: sign the challenge of /v1/hello")
    if not challenges.is_fresh((proof.split(" ") + [""] * 3)[2], clock):
        raise Denial(401, "the challenge is too old, or of another coordinator: ask /v1/hello for a new one")
    try:
        key, _ = check_proof(proof, network)
    except ValueError as error:
        raise Denial(401, f"the proof is invalid: {error}") from None
    return key


def authorize(key: VerifyKey, snapshot: Snapshot, now: int) -> Client:
    """Return a key with its role. now: Unix seconds. Raises Denial with the reason why the key has none."""
    if key == snapshot.ledger.key:
        return Client(key, Role.NETWORK)
    token = snapshot.ledger.find(Token, bytes(key))
    node = snapshot.ledger.node(key)
    if token is None and node is None:
        raise Denial(
            403,
            "this key is neither a node's nor a token's nor the network's, as far as this coordinator knows",
        )
    topology = snapshot.topology_at(now)
    if topology.member(key) is not None:
        return Client(key, Role.MEMBER)
    if node is not None and (reason := topology.excluded.get(key)) is not None:
        why = exclusion_text(snapshot.ledger, node, reason, now, COORDINATORS_CLOCK)
        raise Denial(403, f"this node is no member: {why}")
    if token is None:
        raise Denial(403, "the network's record is not here: submit it first")
    if snapshot.ledger.find(Revocation, bytes(key)) is not None:
        raise Denial(403, "the token was revoked")
    if trouble := snapshot.token_trouble(token, now):
        raise Denial(403, trouble)
    return Client(key, Role.TOKEN)
