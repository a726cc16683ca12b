"""The control plane that the other tests rely on does what Kubernetes does, also where that is unexpected."""

import threading
from ipaddress import ip_network
from uuid import uuid4

import pytest

from tests.kubernetes.client import ApiError
from tests.kubernetes.controlplane import NODES, ControlPlane

_READ_NODES = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]


def test_a_node_gets_a_pod_range_of_each_family(control_plane: ControlPlane) -> None:
    name = _name()
    control_plane.make_node(name)

    found = [ip_network(prefix) for prefix in control_plane.wait_for_pod_ranges(name)]

    assert [(one.version, one.prefixlen) for one in found] == [(4, 24), (6, 64)]
    for one, whole in zip(found, control_plane.ranges.pods, strict=True):
        assert one.subnet_of(ip_network(whole))  # type: ignore[arg-type]


def test_a_node_gets_no_range_while_no_controller_runs_and_one_afterwards(
    control_plane: ControlPlane,
) -> None:
    name = _name()
    control_plane.stop_controllers()
    try:
        control_plane.make_node(name)
        before = control_plane.pod_ranges(name)
    finally:
        control_plane.start_controllers()

    assert before == []
    assert len(control_plane.wait_for_pod_ranges(name)) == 2


def test_the_service_ranges_are_told_by_the_api(control_plane: ControlPlane) -> None:
    answer = control_plane.admin.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes")

    assert answer["spec"]["cidrs"] == list(control_plane.ranges.services)


def test_a_token_gives_the_rights_of_its_service_account_and_no_others(control_plane: ControlPlane) -> None:
    account = control_plane.make_account(_READ_NODES)
    client = control_plane.client(account)

    assert client.get(NODES)["kind"] == "NodeList"
    with pytest.raises(ApiError) as refused:
        client.create(NODES, {"metadata": {"name": _name()}})
    assert refused.value.status == 403


def test_a_watcher_sees_a_change_at_once(control_plane: ControlPlane) -> None:
    version = control_plane.admin.get(NODES)["metadata"]["resourceVersion"]
    events = control_plane.admin.events(NODES, version)
    name = _name()

    control_plane.make_node(name)

    assert any(event["object"]["metadata"]["name"] == name for event in events)


def test_after_a_compaction_an_old_version_is_gone_by_an_event(control_plane: ControlPlane) -> None:
    version = control_plane.admin.get(NODES)["metadata"]["resourceVersion"]
    control_plane.make_node(_name())

    control_plane.compact()

    (event,) = control_plane.admin.events(NODES, version)
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410


def test_a_restored_backup_knows_nothing_of_what_was_later(control_plane: ControlPlane) -> None:
    earlier, later = _name(), _name()
    control_plane.make_node(earlier)
    backup = control_plane.snapshot()
    control_plane.make_node(later)

    control_plane.restore(backup)

    names = {node["metadata"]["name"] for node in control_plane.admin.get(NODES)["items"]}
    assert earlier in names
    assert later not in names


def test_a_stopped_api_server_refuses_connections_and_knows_everything_when_it_starts(
    control_plane: ControlPlane,
) -> None:
    name = _name()
    control_plane.make_node(name)
    ranges = control_plane.wait_for_pod_ranges(name)
    control_plane.stop_api()
    try:
        with pytest.raises(ConnectionError):
            control_plane.admin.get(NODES)
    finally:
        control_plane.start_api()

    assert control_plane.pod_ranges(name) == ranges


def test_a_frozen_api_server_keeps_connections_and_says_nothing(control_plane: ControlPlane) -> None:
    answered = threading.Event()
    control_plane.freeze_api()

    def ask() -> None:
        control_plane.admin.get(NODES)
        answered.set()

    asking = threading.Thread(target=ask)
    asking.start()
    waited = answered.wait(1)
    control_plane.thaw_api()
    asking.join()

    assert not waited
    assert answered.is_set()


def _name() -> str:
    return f"node-{uuid4().hex[:8]}"
