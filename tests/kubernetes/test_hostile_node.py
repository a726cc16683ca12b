"""Who holds the credentials of a node, or of wgpyd's service account, has no pods of other nodes."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.kubernetes.client import JSON, MERGE_PATCH, ApiError
from tests.kubernetes.controlplane import NODES, ControlPlane
from tests.kubernetes.following import following, in_a_loop
from tests.kubernetes.overlay import rbac_rules
from tests.mesh.followers import told

_SYSTEM = "/api/v1/namespaces/kube-system"
_OUTSIDE = "10.99.7.0/24"


def test_the_holder_of_the_service_accounts_token_writes_nothing(control_plane: ControlPlane) -> None:
    name = f"victim-{uuid4().hex[:8]}"
    control_plane.make_node(name)
    ranges = control_plane.wait_for_pod_ranges(name)
    client = control_plane.client(control_plane.make_account(rbac_rules()))
    annotated = {"metadata": {"annotations": {"x": "y"}}}
    moved = {"spec": {"podCIDRs": [_OUTSIDE]}}

    for method, path, document in (
        ("PATCH", f"{NODES}/{name}", annotated),
        ("PATCH", f"{NODES}/{name}", moved),
        ("PATCH", f"{NODES}/{name}/status", annotated),
        ("DELETE", f"{NODES}/{name}", None),
        ("POST", NODES, {"metadata": {"name": f"{name}-2"}, **moved}),
        ("PATCH", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes", annotated),
        ("GET", f"{_SYSTEM}/configmaps/coredns", None),
        ("POST", f"{_SYSTEM}/configmaps", {"metadata": {"name": "coredns"}}),
        ("POST", f"{_SYSTEM}/serviceaccounts/default/token", {"spec": {}}),
        ("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": name}}),
    ):
        kind = MERGE_PATCH if method == "PATCH" else JSON
        with pytest.raises(ApiError) as refused:
            client.ask(method, path, document, kind)
        assert refused.value.status == 403, (method, path)
    assert control_plane.pod_ranges(name) == ranges


def test_a_kubelet_changes_neither_its_own_ranges_nor_another_node(control_plane: ControlPlane) -> None:
    name, victim = (f"{role}-{uuid4().hex[:8]}" for role in ("liar", "victim"))
    for one in (name, victim):
        control_plane.make_node(one)
    taken = {"spec": {"podCIDRs": control_plane.wait_for_pod_ranges(victim)}}
    control_plane.wait_for_pod_ranges(name)
    kubelet = control_plane.kubelet(name)

    with pytest.raises(ApiError) as own:
        kubelet.patch(f"{NODES}/{name}", taken)
    with pytest.raises(ApiError) as others:
        kubelet.patch(f"{NODES}/{victim}", {"metadata": {"annotations": {"x": "y"}}})

    assert own.value.status in (403, 422)
    assert others.value.status == 403


@pytest.mark.parametrize("is_older", [True, False])
@in_a_loop
async def test_a_node_that_registers_with_the_ranges_of_another_one_does_not_get_them(
    control_plane: ControlPlane, tmp_path: Path, is_older: bool
) -> None:
    async with following(control_plane, tmp_path) as (first, second, name):
        liar, victim = (first, second) if is_older else (second, first)
        names = {first: name, second: f"{name}-other"}
        members = {first: "n1", second: "n2"}
        control_plane.make_node(names[victim])
        ranges = control_plane.wait_for_pod_ranges(names[victim])
        await liar.until(lambda: liar.routes_of(members[victim]) == ranges)

        _register(control_plane, names[liar], ranges)

        await liar.until(lambda: all(told(liar, one, members[victim]) for one in ranges))
        for node in (victim, liar):
            assert node.routes_of(members[victim]) == ranges
            assert node.routes_of(members[liar]) == []


@in_a_loop
async def test_a_node_that_registers_with_a_range_outside_of_the_clusters_does_not_get_it(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with following(control_plane, tmp_path) as (liar, other, name):
        _register(control_plane, name, [_OUTSIDE])
        try:
            await liar.until(
                lambda: told(liar, f"no token lets this node announce its pod ranges {_OUTSIDE}")
            )
            assert other.routes_of("n1") == []
        finally:
            control_plane.delete_node(name)


def _register(plane: ControlPlane, name: str, ranges: list[str]) -> None:
    """Do as a kubelet that somebody has changed."""
    spec = {"podCIDR": ranges[0], "podCIDRs": ranges}
    plane.kubelet(name).create(NODES, {"metadata": {"name": name}, "spec": spec})
