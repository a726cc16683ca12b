"""From what each peer may begin at an interface to what the plan lets it begin."""

from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.orders import Permit
from wgpy.keys import PublicKey
from wgpy.mesh.plan import Filter
from wgpy.model import PeerUpdate, Policy
from wgpyd.agent.reconcile.policy import with_policies

KEYS = [PublicKey(bytes([number]) * 32) for number in range(1, 6)]
permits = st.none() | st.lists(st.integers(0, 5).map(Permit), max_size=3).map(tuple)
filters = st.dictionaries(st.sampled_from(KEYS), permits)


@given(filters, filters, st.lists(st.sampled_from(KEYS), unique=True))
def test_with_the_changes_every_peer_may_begin_what_the_plan_says(
    present: Filter, wanted: Filter, changed: list[PublicKey]
) -> None:
    tunnels = [PeerUpdate(key) for key in {*changed, *wanted} if key in changed or key not in present]

    changes = list(with_policies(tunnels, present, wanted))

    after = {**dict.fromkeys(wanted), **present}
    after |= {change.public_key: change.policy.permits for change in changes if change.policy}
    assert {key: after[key] for key in wanted} == wanted


@given(filters, filters)
def test_a_peer_is_changed_once_and_a_new_one_has_its_policy_from_the_first(
    present: Filter, wanted: Filter
) -> None:
    new = [PeerUpdate(key) for key in wanted if key not in present]

    changes = list(with_policies(new, present, wanted))

    keys = [change.public_key for change in changes]
    assert len(keys) == len(set(keys))
    assert all(
        change.policy == Policy(wanted[change.public_key])
        for change in changes[: len(new)]
        if wanted[change.public_key] is not None
    )


@given(filters)
def test_what_is_as_it_should_be_is_not_touched(present: Filter) -> None:
    assert list(with_policies([], present, present)) == []
