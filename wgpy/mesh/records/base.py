"""What every kind of record has, and what the rest of the mesh is to know of a kind."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

from wgpy.contract.errors import WgpyError
from wgpy.mesh.signing import VerifyKey

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MAX_ITEMS: Final = 256  # of a record's routes, for example, which are compared with each other
NETWORK_ID_LENGTH: Final = 16

NameOf = Callable[[VerifyKey], str]  # of a node, or its identity if it has none


class RecordInvalid(WgpyError, ValueError):
    """A body is no record; the message has the reason."""


class Record(Protocol):
    """network: the id of the network that it is of; signer: whose signature makes it genuine."""

    @property
    def network(self) -> bytes: ...
    @property
    def signer(self) -> VerifyKey: ...


class AdminRecord(Record, Protocol):
    """A record of the administrator, so its signer is the network's key.

    sequence: counts all admin records of a network from 1; time: of its making, Unix seconds.
    """

    @property
    def sequence(self) -> int: ...
    @property
    def time(self) -> int: ...


R = TypeVar("R", bound=Record)


class Author(Enum):
    """The key that has to sign a record."""

    ADMINISTRATOR = "the network's key"
    NODE = "the identity of a node"


class Audience(Enum):
    """The nodes that get a record."""

    EVERYBODY = "every node of the network"
    REACHABLE = "the node that signed it, its subject, and those that may reach it or be reached by it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[R]):
    """What the rest of the mesh depends on in a kind of record, so that nothing else distinguishes kinds.

    name, version: the type and the version in its bodies; record: the class that has the fields of a body;
    limit: how many a ledger holds; subject: on what, among records of its kind, the newest alone counts;
    describe: what a record is about, genuine or not; audit: what it changed, given the record that it
    replaces, if any.
    """

    name: str
    version: int
    record: type[R]
    author: Author
    audience: Audience
    limit: int
    subject: Callable[[R], bytes]
    describe: Callable[[R], str]
    audit: Callable[[R, R | None, NameOf], str]


def network_id(key: VerifyKey) -> bytes:
    """Return the 16 bytes that identify a network, made from its key."""
    return hashlib.blake2s(b"wgpy network" + bytes(key), digest_size=NETWORK_ID_LENGTH).digest()


def short(key: VerifyKey) -> str:
    """Return the beginning of a key, as it is shown to people."""
    return str(key)[:8]


def count_of_nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


# -- Checks: each raises ValueError ----------------------------------------------------------------


def check_record(record: Record) -> None:
    """Check what is so in every kind."""
    check_length(record.network, NETWORK_ID_LENGTH, "a network's id")


def check_count(items: tuple[Any, ...], what: str) -> None:
    if len(items) > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS} {what}")


def check_length(data: bytes, length: int, what: str) -> None:
    if len(data) != length:
        raise ValueError(f"{what} has {length} bytes, not {len(data)}")


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: want 1 to 63 of a-z, 0-9 and -, none of them - at an end")


def check_tags(tags: tuple[str, ...]) -> None:
    check_count(tags, "tags")
    if list(tags) != sorted(set(tags)):
        raise ValueError("tags are sorted, each once")
    for tag in tags:
        check_name(tag)
