"""The table of who may begin to whom."""

from hypothesis import given, settings

from tests.mesh.network import Administrator, key_of, prefixes, site
from tests.mesh.test_topology import histories
from wgpy.mesh.ports import ports_text
from wgpy.mesh.rule_matrix import Matrix, matrix
from wgpy.mesh.rules import Rules

OFFICE, SERVERS = key_of(2), key_of(3)


def network() -> Administrator:
    """Nodes n10 and n11 of the office, and n12, a server."""
    one = Administrator()
    one.found()
    one.invite(OFFICE, tags=("office",))
    one.invite(SERVERS, tags=("servers",), routes=prefixes("10.0.0.0/8"))
    for number, token in ((10, OFFICE), (11, OFFICE), (12, SERVERS)):
        one.join(key_of(number), token)
    return one


def cells(found: Matrix) -> dict[tuple[str, str], str]:
    """What the first of each group may begin to the first of another, as `rule: ports`."""
    return {
        (source.names[0], destination.names[0]): "; ".join(
            f"{one.number}: {ports_text(one.end.ports) or 'all'}" for one in found.permissions[row][column]
        )
        for row, source in enumerate(found.groups)
        for column, destination in enumerate(found.groups)
        if found.permissions[row][column]
    }


def test_without_a_rule_it_is_open_and_all_are_alike() -> None:
    found = matrix(network().topology())

    assert found.is_open
    assert [group.names for group in found.groups] == [("n10", "n11", "n12")]


def test_those_whom_no_rule_tells_apart_are_one_row() -> None:
    administrator = network()
    administrator.rule("tag:office", administrator.scope("tag:servers:5432/tcp"))

    found = matrix(administrator.topology())

    assert not found.is_open
    assert [group.names for group in found.groups] == [("n10", "n11"), ("n12",)]
    assert cells(found) == {("n10", "n12"): "1: 5432/tcp"}


def test_a_rule_for_a_node_tells_it_apart_and_all_rules_stand_in_a_cell() -> None:
    administrator = network()
    administrator.rule("tag:office", administrator.scope("tag:servers:5432/tcp"))
    administrator.rule(key_of(11), "tag:servers")

    found = matrix(administrator.topology())

    assert [group.names for group in found.groups] == [("n10",), ("n11",), ("n12",)]
    assert cells(found) == {("n10", "n12"): "1: 5432/tcp", ("n11", "n12"): "1: 5432/tcp; 2: all"}


def test_a_site_is_reached_by_rules_for_it_and_by_those_for_its_gateway() -> None:
    administrator = network()
    administrator.announce(key_of(12), site("plant", "10.1.0.0/24"))
    administrator.rule("tag:office", administrator.scope("site:plant:443/tcp"))
    administrator.rule(key_of(10), "tag:servers")

    found = cells(matrix(administrator.topology()))

    assert found["n11", "site:plant"] == "1: 443/tcp"
    assert found["n10", "site:plant"] == "1: 443/tcp; 2: all"
    assert found["n10", "n12"] == "2: all"
    assert ("n11", "n12") not in found


@settings(max_examples=50)
@given(histories())
def test_it_says_what_nodes_and_data_paths_are_told(administrator: Administrator) -> None:
    topology = administrator.topology()
    found, rules = matrix(topology), Rules(topology)
    rows = {name: row for row, group in enumerate(found.groups) for name in group.names}

    for source in topology.members:
        for destination in topology.members:
            row, column = (rows[one.name or str(one.identity)] for one in (source, destination))
            if found.permissions[row][column] or found.is_open:
                assert rules.allow(source, destination)
            elif not topology.sites:
                assert not rules.allow(source, destination)
