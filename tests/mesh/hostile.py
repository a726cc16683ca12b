"""Who owns the coordinator and means harm: what such a one can tell, without keys but its own.

`python -m tests.mesh.hostile NETWORK ADDRESS FOLDER` is one, in a process of its own: it says where it serves
and by which key, and tells whatever comes in, lines as `wire` has them. FOLDER is for its key.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final

from tests.mesh.network import Administrator, key_of, prefixes, sign
from tests.mesh.scripted import scripted_coordinator
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.admission import Exclusion
from wgpy.mesh.ledger import Ledger, RecordRejected, RejectionReason, Verdict
from wgpy.mesh.records import Departure, Node, Record, Removal, Token, Unknown, decode
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey
from wgpy.mesh.wire import Delta, decode_line

MALLORY, FALSE_TOKEN, FALSE_NETWORK = key_of(666), key_of(667), key_of(668)
EVIL_KEY: Final = PublicKey(bytes(range(1, 33)))
EVIL_ENDPOINT: Final = Endpoint("198.51.100.66", 666)

Shown = RejectionReason | Exclusion | Verdict


@dataclass(frozen=True, slots=True)
class Attempt:
    """Records to tell, and as what each of them is to be found out."""

    records: tuple[Signed, ...]
    shows: Shown


@dataclass(frozen=True, slots=True)
class Mallory:
    """A coordinator with an honest network's records. spared: whose word it leaves alone."""

    honest: Administrator
    spared: SigningKey | None = None

    @property
    def network(self) -> bytes:
        return self.honest.network

    # -- Nodes that nobody admitted --------------------------------------------------------------

    def adds_a_node(self) -> Attempt:
        """With a token that it made itself, and tells nobody of."""
        return Attempt((self.honest.join(MALLORY, FALSE_TOKEN),), Exclusion.NO_TOKEN)

    def adds_a_node_that_names_a_genuine_token(self) -> Attempt:
        node = replace(self._mallory(FALSE_TOKEN), token=self._a(Token).key)
        return Attempt((sign(MALLORY, node),), RejectionReason.BAD_ADMISSION)

    def adds_a_node_with_the_admission_of_another(self) -> Attempt:
        victim = self._a(Node)
        node = replace(victim, signer=MALLORY.verify_key(), sequence=99, key=EVIL_KEY)
        return Attempt((sign(MALLORY, node),), RejectionReason.BAD_ADMISSION)

    # -- What nodes said -------------------------------------------------------------------------

    def alters_a_route(self) -> Attempt:
        return self._alter(routes=prefixes("10.42.66.0/24"))

    def alters_an_endpoint(self) -> Attempt:
        return self._alter(endpoints=(EVIL_ENDPOINT,))

    def alters_a_key(self) -> Attempt:
        return self._alter(key=EVIL_KEY, sequence=99)

    def alters_an_address(self) -> Attempt:
        return self._alter(address=IPv4Address("100.80.0.66"), sequence=0)

    def speaks_for_a_node(self) -> Attempt:
        node = replace(self._a(Node), sequence=99, endpoints=(EVIL_ENDPOINT,))
        return Attempt((sign(MALLORY, node),), RejectionReason.BAD_SIGNATURE)

    def says_that_a_node_left(self) -> Attempt:
        record = Departure(network=self.network, signer=self._a(Node).signer)
        return Attempt((sign(MALLORY, record),), RejectionReason.BAD_SIGNATURE)

    def replays_an_old_record(self) -> Attempt:
        """Of a node that has spoken twice."""
        return Attempt((self._signed(Node),), Verdict.OLD)

    # -- Admin records ---------------------------------------------------------------------------

    def forges_a_token(self) -> Attempt:
        return self._by_administrator(replace(self._a(Token), key=FALSE_TOKEN.verify_key(), sequence=99))

    def forges_a_token_in_its_own_name(self) -> Attempt:
        token = replace(self._a(Token), key=FALSE_TOKEN.verify_key(), sequence=99)
        return self._by_administrator(replace(token, signer=FALSE_NETWORK.verify_key()))

    def widens_a_token(self) -> Attempt:
        """Keeping its signature."""
        token = replace(self._a(Token), routes=(IPv4Network("0.0.0.0/0"),))
        altered = replace(self._signed(Token), body=sign(MALLORY, token).body)
        return Attempt((altered,), RejectionReason.BAD_SIGNATURE)

    def removes_a_node(self) -> Attempt:
        return self._by_administrator(replace(self._a(Removal), sequence=99, identity=self._a(Node).signer))

    def moves_what_another_network_says(self) -> Attempt:
        """Another that it owns, and where it may do all of this."""
        other = Administrator(FALSE_NETWORK, now=self.honest.now)
        other.found()
        other.invite(FALSE_TOKEN)
        other.join(MALLORY, FALSE_TOKEN)
        other.rule("any", "any")
        return Attempt(tuple(other.records), RejectionReason.OTHER_NETWORK)

    def says_that_another_networks_records_are_of_this_one(self) -> Attempt:
        other = Administrator(FALSE_NETWORK, now=self.honest.now)
        said = (other.invite(FALSE_TOKEN), other.remove(MALLORY), other.rule("any", "any"))
        moved = (replace(known(signed), network=self.network) for signed in said)
        return Attempt(tuple(sign(FALSE_NETWORK, record) for record in moved), RejectionReason.BAD_SIGNATURE)

    def says_what_is_no_record(self) -> Attempt:
        bodies = (b"", b"{}", b"[" * 9999, b'{"type":"\\u001b[2J"}', b"\xff" * 99)
        return Attempt(tuple(MALLORY.sign(body) for body in bodies), RejectionReason.INVALID)

    # -- Helpers ---------------------------------------------------------------------------------

    def _mallory(self, token: SigningKey) -> Node:
        return self.honest.node(MALLORY, token, key=EVIL_KEY)

    def _alter(self, **fields: Any) -> Attempt:
        """Change what a node said, and keep its signature."""
        signed = self._signed(Node)
        altered = replace(signed, body=sign(MALLORY, replace(self._a(Node), **fields)).body)
        return Attempt((altered,), RejectionReason.BAD_SIGNATURE)

    def _by_administrator(self, record: Record) -> Attempt:
        return Attempt((sign(FALSE_NETWORK, record),), RejectionReason.BAD_SIGNATURE)

    def _signed(self, kind: type[Record]) -> Signed:
        """The first record of a kind that was ever said."""
        spared = None if self.spared is None else self.spared.verify_key()
        records = ((signed, decode(signed.body)) for signed in self.honest.records)
        return next(signed for signed, said in records if isinstance(said, kind) and said.signer != spared)

    def _a(self, kind: type[Any]) -> Any:
        return decode(self._signed(kind).body)


def known(signed: Signed) -> Any:
    """Return what a record says that is of a type of today."""
    record = decode(signed.body)
    assert not isinstance(record, Unknown)
    return record


ATTEMPTS: Final[dict[str, Callable[[Mallory], Attempt]]] = {
    name.replace("_", " "): method
    for name, method in vars(Mallory).items()
    if callable(method) and not name.startswith("_")
}


def add_all(ledger: Ledger, records: Iterable[Signed]) -> list[RejectionReason | Verdict]:
    """Tell a ledger, and return what it made of each."""
    return [_add(ledger, signed) for signed in records]


def _add(ledger: Ledger, signed: Signed) -> RejectionReason | Verdict:
    try:
        return ledger.add(signed).verdict
    except RecordRejected as refused:
        return refused.reason


async def _tell_on() -> None:
    network, address, folder = sys.argv[1:]
    async with scripted_coordinator([], VerifyKey.from_base64(network), Path(folder), address) as coordinator:
        print(json.dumps({"url": coordinator.url, "key_hash": coordinator.key_hash.hex()}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            said = decode_line(line)
            assert isinstance(said, Delta)
            coordinator.send(*said.records)


if __name__ == "__main__":
    asyncio.run(_tell_on())
