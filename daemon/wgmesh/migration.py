"""Migration of a coordinator's database to the newest version of its tables."""

from collections.abc import Sequence

from sqlalchemy import Engine, delete, insert, inspect, select

from .database import Database
from .errors import StoreError
from .schema import SCHEMA, Step
from .sqlite import copy_database


def migrate(engine: Engine, database: Database, steps: Sequence[Step]) -> None:
    """Run the steps that a database lacks, after a backup of its file. Raises StoreError."""
    version = _version(engine)
    if version > len(steps):
        raise StoreError(
            f"{database.name} is of a newer wgmesh (version {version}, this one: {len(steps)}): update wgmesh"
        )
    if version == len(steps):
        return
    if version and (path := database.path) is not None:
        copy_database(path, path.with_name(f"{path.name}.version-{version}"))
    with engine.begin() as connection:
        for step in steps[version:]:
            step(connection)
        connection.execute(delete(SCHEMA))
        connection.execute(insert(SCHEMA).values(version=len(steps)))


def _version(engine: Engine) -> int:
    """Return the version of the tables, 0 for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(SCHEMA.name):
            return 0
        return int(connection.execute(select(SCHEMA.c.version)).scalar_one())
