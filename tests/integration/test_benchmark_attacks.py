"""The benchmark of attacks on a coordinator, in brief; on loopback, each on a coordinator of its own."""

import asyncio
import math

import pytest

from benchmarks.mesh.attackers import ATTACKS
from benchmarks.mesh.attacks import Cost, Extent, costs

pytestmark = pytest.mark.xdist_group("attacks")  # one at a time, as each takes what processor there is

_BRIEF = Extent(nodes=10, warm_up=1.0, removals=2)


async def measure(name: str) -> list[Cost]:
    return [cost async for cost in costs([name], _BRIEF)]


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_goes_on_and_has_a_cost(name: str) -> None:
    (cost,) = asyncio.run(measure(name))

    assert cost.attack == name
    assert cost.attacker > 0
    assert cost.coordinator > 0
    assert cost.memory > 0
    assert cost.descriptors > 0
    assert len(cost.usual) == len(cost.delays) == _BRIEF.removals
    assert all(map(math.isfinite, cost.usual))
