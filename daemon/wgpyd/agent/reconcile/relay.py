"""Whether an interface forwards what its peers send to each other. Pure."""

from typing import Final

from wgpy.mesh.plan import NodePlan

RATE: Final = 125_000_000  # bytes a second from one node to another: 1 Gbit/s


def relay_rate(plan: NodePlan) -> int:
    """Return the rate at which it forwards, 0 for not at all."""
    return RATE if plan.is_relay else 0
