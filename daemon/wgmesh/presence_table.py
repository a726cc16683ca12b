"""The presence of nodes in the database, by which coordinators know of each other's nodes."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Engine, bindparam, delete, insert, select

from wgpy.mesh.signing import VerifyKey

from .database import Database
from .schema import COORDINATORS, SEEN

_COORDINATOR_TTL: Final = 3600  # seconds after which the row of a dead coordinator is deleted
_CONNECTED_ELSEWHERE: Final = select(SEEN.c.identity).where(
    SEEN.c.coordinator != "", SEEN.c.coordinator != bindparam("here")
)
_FORGET: Final = delete(SEEN).where(SEEN.c.identity == bindparam("old"))


@dataclass(frozen=True, slots=True)
class Seen:
    """When a node was last connected.

    heard: Unix seconds; address: of the node; coordinator: the one that the node is connected to, or "".
    """

    heard: int
    address: str
    coordinator: str = ""


class PresenceTable:
    """The rows of nodes and of coordinators."""

    def __init__(self, engine: Engine, database: Database) -> None:
        self._engine = engine
        self._database = database

    def read(self, since: int) -> dict[VerifyKey, Seen]:
        """Return the presence of nodes. since: Unix seconds; coordinators last alive before that are dead.

        Raises StoreError.
        """
        with self._database.errors(), self._engine.connect() as connection:
            alive = set(connection.scalars(select(COORDINATORS.c.name).where(COORDINATORS.c.alive >= since)))
            seen = {}
            for row in connection.execute(select(SEEN)):
                with suppress(ValueError):  # damaged, until the node connects again
                    coordinator = row.coordinator if row.coordinator in alive else ""
                    seen[VerifyKey.from_base64(row.identity)] = Seen(row.heard, row.address, coordinator)
            return seen

    def write(self, seen: dict[VerifyKey, Seen], coordinator: str) -> None:
        """Write the presence of nodes, except disconnects of nodes that are connected to another coordinator.

        coordinator: the one that writes. Raises StoreError.
        """
        with self._database.errors(), self._engine.begin() as connection:
            elsewhere = set(connection.scalars(_CONNECTED_ELSEWHERE, {"here": coordinator}))
            rows = [
                {"identity": text, **asdict(node)}
                for identity, node in seen.items()
                if (text := str(identity)) not in elsewhere or node.coordinator
            ]
            if rows:
                connection.execute(_FORGET, [{"old": row["identity"]} for row in rows])
                connection.execute(insert(SEEN), rows)

    def write_alive(self, coordinator: str, now: int) -> None:
        """Record that a coordinator is alive. now: Unix seconds, 0 when it ends. Raises StoreError."""
        with self._database.errors(), self._engine.begin() as connection:
            connection.execute(
                delete(COORDINATORS).where(
                    (COORDINATORS.c.name == coordinator) | (COORDINATORS.c.alive < now - _COORDINATOR_TTL)
                )
            )
            if now:
                connection.execute(insert(COORDINATORS).values({"name": coordinator, "alive": now}))
