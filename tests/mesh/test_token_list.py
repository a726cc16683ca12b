"""Which tokens `wgpy mesh token-list` lists."""

import pytest

from tests.mesh.network import DAY, NOW, Administrator, key_of
from wgpy.cli.mesh.output import ENDED_SHOWN
from wgpy.cli.mesh.tokens import without_old
from wgpy.mesh.records import Token
from wgpy.mesh.signing import SigningKey

EXPIRING, REVOKED, VALID = key_of(2), key_of(3), key_of(4)


@pytest.mark.parametrize(
    ("now", "listed"),
    [
        (NOW, [EXPIRING, REVOKED, VALID]),
        (NOW + ENDED_SHOWN, [EXPIRING, REVOKED, VALID]),
        (NOW + ENDED_SHOWN + 1, [EXPIRING, VALID]),
        (NOW + DAY + ENDED_SHOWN, [EXPIRING, VALID]),
        (NOW + DAY + ENDED_SHOWN + 1, [VALID]),
    ],
)
def test_a_token_that_admits_no_host_any_more_is_listed_for_a_day(now: int, listed: list[SigningKey]) -> None:
    administrator = Administrator()
    administrator.found()
    administrator.invite(EXPIRING)
    administrator.invite(REVOKED)
    administrator.invite(VALID, expires=NOW + 9 * DAY)
    administrator.revoke(REVOKED)
    ledger = administrator.ledger()

    tokens = without_old(ledger.admin_records(Token).values(), ledger, now)

    assert {token.key for token in tokens} == {key.verify_key() for key in listed}
