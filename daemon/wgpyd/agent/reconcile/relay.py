"""Whether an interface forwards what its peers send to each other. Pure."""

from wgpy.contract.constants import DEFAULT_RELAY_RATE
from wgpy.mesh.plan import NodePlan


def relay_rate(plan: NodePlan) -> int:
    """Return the rate at which it forwards, 0 for not at all."""
    return DEFAULT_RELAY_RATE if plan.is_relay else 0
