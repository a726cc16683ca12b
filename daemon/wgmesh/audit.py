"""The audit log's sentences. Pure."""

from wgpy.mesh.records import NameOf, Record, kind_of
from wgpy.mesh.signing import VerifyKey

from .transaction import Change

ADMINISTRATOR = "network key"


def author(record: Record, name_of: NameOf, network: VerifyKey) -> str:
    """Return who signed a record."""
    return ADMINISTRATOR if record.signer == network else name_of(record.signer)


def sentence(change: Change, name_of: NameOf) -> str:
    """Return what a record changed."""
    return kind_of(change.record).audit(change.record, change.before, name_of)
