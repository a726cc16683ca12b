"""Objects of the Kubernetes API, as far as a mesh needs them. Pure.

Source: the API reference of Kubernetes, core/v1 Node and networking.k8s.io/v1 ServiceCIDR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wgpy.address import Prefix, parse_global_prefix

NODES: Final = "/api/v1/nodes"
SERVICE_RANGES: Final = "/apis/networking.k8s.io/v1/servicecidrs"
_MAX_NAME: Final = 253  # characters: a name of the DNS
_MAX_RANGES: Final = 4  # of an object: one a family, and room for more
_OWN_POOLS: Final = {"CalicoIsUp": "Calico", "CiliumIsUp": "Cilium"}  # by the reason of NetworkUnavailable


@dataclass(frozen=True, slots=True)
class NodeObject:
    """A Node. pod_ranges: none until Kubernetes has chosen them.

    network: of pods, if that is known to have pools of its own, so that pods are not in pod_ranges; or "".
    """

    name: str
    pod_ranges: tuple[Prefix, ...]
    network: str = ""


@dataclass(frozen=True, slots=True)
class ServiceRange:
    """A ServiceCIDR."""

    name: str
    ranges: tuple[Prefix, ...]


def read_node(found: Any) -> NodeObject:
    """Raises ValueError, and whatever Python does where something is of another type."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    texts = spec.get("podCIDRs") or list(filter(None, [spec.get("podCIDR")]))
    return NodeObject(read_name(found), _ranges(texts), _network(_list(status.get("conditions"))))


def read_service_range(found: Any) -> ServiceRange:
    """Raises as `read_node`."""
    return ServiceRange(read_name(found), _ranges((found.get("spec") or {}).get("cidrs")))


def read_name(found: Any) -> str:
    """Return the name of any object. Raises as `read_node`."""
    name = found["metadata"]["name"]
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise ValueError("an object has no name")
    return name


def _ranges(texts: Any) -> tuple[Prefix, ...]:
    found = _list(texts)
    if len(found) > _MAX_RANGES:
        raise ValueError(f"more than {_MAX_RANGES} ranges")
    if not all(isinstance(text, str) for text in found):
        raise ValueError("a range is no text")
    return tuple(dict.fromkeys(map(parse_global_prefix, found)))


def _network(conditions: Sequence[Mapping[str, Any]]) -> str:
    reasons = (one.get("reason") for one in conditions if one.get("type") == "NetworkUnavailable")
    return next((_OWN_POOLS[reason] for reason in reasons if reason in _OWN_POOLS), "")


def _list(found: Any) -> list[Any]:
    if found is not None and not isinstance(found, list):
        raise ValueError("what should be a list is none")
    return found or []
