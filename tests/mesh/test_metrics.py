"""What Prometheus is told of a node, beside what tests/mesh/test_local_api.py has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.network import prefixes
from tests.unit.mesh_statuses import a_status
from tests.unit.test_cli_sites import site
from wgpy.node.agent_client import Count
from wgpyd.agent.metrics import measures


def measured(name: str, **fields: Any) -> dict[tuple[str, ...], float]:
    """The samples of a metric, by the values of their labels."""
    families = measures(replace(a_status(), **fields), {}, {})
    (family,) = (family for family in families if family.name == name)
    return {tuple((sample.labels or {}).values()): sample.value for sample in family.samples}


def test_sites_are_counted_by_whether_they_are_in_force() -> None:
    sites = (site("a"), site("b"), site("c", exclusion="nobody has approved it"))

    assert measured("wgpy_mesh_sites", sites=sites) == {("in force",): 2, ("excluded",): 1}


def test_moves_are_counted_by_site() -> None:
    moves = (Count("10.43.0.0/16", 0), Count("office", 3))

    assert measured("wgpy_mesh_gateway_moves_total", gateway_moves=moves) == {
        ("10.43.0.0/16",): 0, ("office",): 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        (
            {"exit": "internet", "exit_gateway": "hub", "exit_routes": prefixes("0.0.0.0/0")},
            {("internet", "hub"): 1},
        ),
        ({"exit": "internet"}, {("internet", ""): 0}),
    ],
)
def test_an_exit_is_used_or_not_and_where_there_is_none_nothing_is_said(
    fields: dict[str, Any], expected: dict[tuple[str, ...], float]
) -> None:
    assert measured("wgpy_mesh_exit_used", **fields) == expected


def test_questions_about_names_are_counted_by_what_came_of_them() -> None:
    questions = (Count("answered", 7), Count("refused", 1))

    assert measured("wgpy_mesh_name_questions_total", questions=questions) == {
        ("answered",): 7, ("refused",): 1,
    }  # fmt: skip


def test_the_page_for_operators_has_every_metric() -> None:
    page = (Path(__file__).parents[2] / "MESH.md").read_text()

    assert [one.name for one in measures(a_status(), {}, {}) if f"`{one.name}`" not in page] == []
