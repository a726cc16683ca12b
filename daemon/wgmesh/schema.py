"""The tables of a coordinator's database, and the migrations between their versions.

A step is never changed once it was released. To change the tables, change them here and append a step that
makes the same change in existing databases.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()

# One row each: the version of the tables, and the state of all records.
SCHEMA: Final = Table("schema_version", METADATA, Column("version", Integer, nullable=False))
STATE: Final = Table(
    "state",
    METADATA,
    Column("network", Text, primary_key=True),  # its key
    Column("revision", BigInteger, nullable=False),
    Column("visibility", BigInteger, nullable=False),
    Column("restored", BigInteger, nullable=False),  # Unix seconds
)
RECORDS: Final = Table(
    "records",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("subject", LargeBinary(1024), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("viewed", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
    Index("records_by_revision", "revision"),
)
ADMISSIONS: Final = Table(
    "admissions",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("identity", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("time", BigInteger, nullable=False),  # Unix seconds
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("source", Text, nullable=False),  # an address
)
SEEN: Final = Table(
    "seen",
    METADATA,
    Column("identity", Text, primary_key=True),
    Column("heard", BigInteger, nullable=False),  # Unix seconds
    Column("address", Text, nullable=False),
    Column("coordinator", Text, nullable=False),  # the one that the node is connected to, or ""
)
COORDINATORS: Final = Table(
    "coordinators",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("alive", BigInteger, nullable=False),  # when it last wrote, Unix seconds
)

Step = Callable[[Connection], None]

# The n-th step makes version n out of version n - 1; an empty database is of version 0.
STEPS: Final[tuple[Step, ...]] = (METADATA.create_all,)
