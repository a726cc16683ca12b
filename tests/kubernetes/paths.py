"""What is to be reached from where in a cluster, as checks of webpod.py."""

from collections.abc import Sequence

from tests.kubernetes.cluster import SERVICE_PORT, Cluster

_KUBELET_PORT = 10250
Checks = list[list[object]]


def of_full_size(cluster: Cluster, name: str, sizes: Sequence[int]) -> Checks:
    """To the pods of all nodes but this one. sizes: bytes of the largest packet, by IPv4 and IPv6."""
    return [
        ["ping", address, size]
        for other in cluster.others(name)
        for address, size in zip(cluster.pods[other.name].addresses, sizes, strict=True)
    ]


def to_services(cluster: Cluster) -> Checks:
    """To that of all pods, in both families, and to the API server's."""
    names = cluster.node_names
    services: Checks = [["service", one, SERVICE_PORT, names] for one in cluster.service_addresses()]
    return [*services, ["connect", cluster.plane.ranges.first_service, 443]]


def to_kubelets(cluster: Cluster, name: str) -> Checks:
    """Of all nodes but this one."""
    return [
        ["connect", address, _KUBELET_PORT] for other in cluster.others(name) for address in other.addresses
    ]


def failures_between_pods(cluster: Cluster) -> list[str]:
    """Have the pod of every node ask those of all others, and return what failed; without the API server."""
    return [
        failure
        for name in cluster.node_names
        for failure in cluster.failures_in_network_of_pod(name, cluster.pages_of_others(name))
    ]
