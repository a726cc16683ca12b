"""The audit log's sentences. Pure."""

from wgpy.mesh.records import Record, kind_of
from wgpy.mesh.signing import VerifyKey

from .transaction import Change

ADMINISTRATOR = "network key"


def author(record: Record, names: dict[VerifyKey, str], network: VerifyKey) -> str:
    """Return who signed a record. names: of the nodes."""
    return ADMINISTRATOR if record.signer == network else names.get(record.signer, str(record.signer))


def sentence(change: Change, names: dict[VerifyKey, str]) -> str:
    """Return what a record changed. names: of the nodes."""
    kind = kind_of(change.record)
    return kind.audit(change.record, change.before, lambda identity: names.get(identity, str(identity)))
