"""When memberships and tokens ended, so that lists need not show them for ever."""

import pytest

from tests.mesh.network import DAY, NOW, Administrator, key_of
from wgpy.mesh.admission import Exclusion
from wgpy.mesh.clock import written
from wgpy.mesh.endings import exclusion_text, membership_ended, token_ended
from wgpy.mesh.records import Token

TOKEN, ALICE, BOB = key_of(8), key_of(20), key_of(21)


@pytest.fixture
def admin() -> Administrator:
    admin = Administrator()
    admin.found()
    admin.invite(TOKEN, uses=2, lifetime=3600)
    admin.join(ALICE, TOKEN)
    return admin


def ended(admin: Administrator, now: int = NOW) -> int:
    ledger = admin.ledger()
    return token_ended(ledger, ledger.admin_records(Token)[bytes(TOKEN.verify_key())], now)


def test_a_token_that_admits_hosts_has_not_ended(admin: Administrator) -> None:
    assert ended(admin) == 0


def test_a_token_is_used_up_when_its_last_host_joined(admin: Administrator) -> None:
    admin.join(BOB, TOKEN, admitted=NOW - 5)

    assert ended(admin) == NOW - 5


def test_a_token_ends_by_its_date_or_before_by_its_revocation(admin: Administrator) -> None:
    assert ended(admin, NOW + 2 * DAY) == NOW + DAY
    admin.now += 60
    admin.revoke(TOKEN)

    assert ended(admin, NOW + 2 * DAY) == NOW + 60


@pytest.mark.parametrize(
    ("reason", "when"),
    [
        (Exclusion.REMOVED, NOW + 60),
        (Exclusion.TOKEN_REVOKED, NOW + 60),
        (Exclusion.MEMBERSHIP_EXPIRED, NOW - DAY // 2 + 3600),
        (Exclusion.TOKEN_EXPIRED, NOW + DAY),
        (Exclusion.DEPARTED, 0),
        (Exclusion.ADDRESS_TAKEN, 0),
    ],
)
def test_a_membership_ended_when_its_records_say_so(
    admin: Administrator, reason: Exclusion, when: int
) -> None:
    admin.now += 60
    admin.remove(ALICE)
    admin.revoke(TOKEN)

    assert membership_ended(admin.ledger(), ALICE.verify_key(), reason) == when


def test_nothing_is_known_of_a_node_without_records(admin: Administrator) -> None:
    assert membership_ended(admin.ledger(), BOB.verify_key(), Exclusion.MEMBERSHIP_EXPIRED) == 0


@pytest.mark.parametrize(
    ("reason", "now", "text"),
    [
        (
            Exclusion.MEMBERSHIP_EXPIRED, NOW + DAY,
            f": {written(NOW - DAY // 2 + 3600)}, and the moon's clock says {written(NOW + DAY)}",
        ),
        (
            Exclusion.MEMBERSHIP_EXPIRED, 100,
            f": {written(NOW - DAY // 2 + 3600)}, and the newest admin record says {written(NOW)}",
        ),
        (
            Exclusion.TOKEN_EXPIRED, NOW,
            f": {written(NOW + DAY)}, and its record says {written(NOW - DAY // 2)}",
        ),
        (Exclusion.REMOVED, NOW, ""),
        (Exclusion.ADDRESS_TAKEN, NOW, ""),
    ],
)  # fmt: skip
def test_what_a_time_excludes_is_told_with_both_times(
    admin: Administrator, reason: Exclusion, now: int, text: str
) -> None:
    ledger = admin.ledger()
    node = ledger.node(ALICE.verify_key())
    assert node is not None

    assert exclusion_text(ledger, node, reason, now, "the moon's clock") == reason.value + text
