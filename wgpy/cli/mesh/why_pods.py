"""Pod ranges, in what `wgpy mesh why` says. Pure."""

from ipaddress import ip_address
from typing import Final

from wgpy.address import Address, Prefix
from wgpy.node.agent_client import Status

_NODE_BITS: Final = (
    8  # by which the range of a Node is longer than that of its cluster, unless told otherwise
)


def own_pod(status: Status, name: str) -> str:
    """Return of which range of this node an address is, "" for none. name: an address."""
    found = next((one for one in status.kubernetes.ranges if _is_in(ip_address(name), one)), None)
    if found is None:
        return ""
    by = f"{found} is a pod range of node {status.kubernetes.node}, by Kubernetes"
    return f"{name} is an address of this node's pods: {by}"


def of_same_cluster(status: Status, node: str, prefix: Prefix | None) -> str:
    """Return that a node has a pod range, as far as those of this node's own cluster tell, or ""."""
    own = status.kubernetes.ranges
    if prefix is None or not any(_cluster_of(one) == _cluster_of(prefix) for one in own):
        return ""
    return f"{prefix} is a pod range of node {node}, by Kubernetes"


def _is_in(address: Address, prefix: Prefix) -> bool:
    return address.version == prefix.version and address in prefix


def _cluster_of(prefix: Prefix) -> Prefix:
    return prefix.supernet(min(_NODE_BITS, prefix.prefixlen))
