"""The three slots of a peer's sessions, and what falls out of them. Linux noise.c, add_new_keypair."""

from wgpy.engine.keypair import Keypair, Keypairs

BEGUN = [Keypair(index, initiator=True) for index in range(1, 4)]
ANSWERED = [Keypair(index, initiator=False) for index in range(11, 14)]


def slots(keypairs: Keypairs) -> tuple[Keypair | None, Keypair | None, Keypair | None]:
    return keypairs.next, keypairs.current, keypairs.previous


def test_a_session_we_began_sends_at_once_and_the_one_before_still_receives() -> None:
    keypairs = Keypairs()

    assert keypairs.add(BEGUN[0]) == []
    assert keypairs.add(BEGUN[1]) == []
    assert slots(keypairs) == (None, BEGUN[1], BEGUN[0])
    assert keypairs.add(BEGUN[2]) == [BEGUN[0]]


def test_a_session_we_answered_waits_and_the_previous_one_is_dropped_for_it() -> None:
    keypairs = Keypairs()
    keypairs.add(BEGUN[0])
    keypairs.add(BEGUN[1])

    assert keypairs.add(ANSWERED[0]) == [BEGUN[0]]
    assert slots(keypairs) == (ANSWERED[0], BEGUN[1], None)


def test_of_two_unconfirmed_sessions_the_newer_stays() -> None:
    keypairs = Keypairs()
    keypairs.add(ANSWERED[0])

    assert keypairs.add(ANSWERED[1]) == [ANSWERED[0]]
    assert slots(keypairs) == (ANSWERED[1], None, None)


def test_a_confirmed_session_sends_and_the_one_before_still_receives() -> None:
    keypairs = Keypairs()
    keypairs.add(BEGUN[0])
    keypairs.add(ANSWERED[0])

    assert keypairs.confirm(ANSWERED[0].local_index) == []
    assert slots(keypairs) == (None, ANSWERED[0], BEGUN[0])


def test_only_the_waiting_session_can_be_confirmed() -> None:
    keypairs = Keypairs()
    keypairs.add(BEGUN[0])

    assert keypairs.confirm(BEGUN[0].local_index) is None
    assert keypairs.confirm(99) is None
    assert slots(keypairs) == (None, BEGUN[0], None)


def test_a_session_we_begin_while_one_waits_keeps_the_waiting_one_receiving() -> None:
    """Both ends began at once: what the other is about to send by is the one that waits."""
    keypairs = Keypairs()
    keypairs.add(BEGUN[0])
    keypairs.add(BEGUN[1])
    keypairs.add(ANSWERED[0])

    assert keypairs.add(BEGUN[2]) == [BEGUN[1]]
    assert slots(keypairs) == (None, BEGUN[2], ANSWERED[0])


def test_clearing_gives_back_all_there_were() -> None:
    keypairs = Keypairs()
    keypairs.add(BEGUN[0])
    keypairs.add(BEGUN[1])
    keypairs.add(ANSWERED[0])

    assert keypairs.drop_next() == [ANSWERED[0]]
    assert keypairs.clear() == [BEGUN[1]]
    assert slots(keypairs) == (None, None, None)
