"""List and watch of the Kubernetes API, without a network: what a server sends, in pieces, and what is known.

Invariant: whatever a server sends, nothing else than WatchError is raised, and what is known changes only by
an event or by a complete list.
"""

import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.address import parse_global_prefix
from wgpy.kubernetes.objects import NODES, SERVICE_RANGES, NodeObject, read_node, read_service_range
from wgpy.kubernetes.watch import MAX_LINE, MAX_OBJECTS, MAX_PAGES, Watch, WatchError

RANGE, OTHER = "10.244.2.0/24", "10.244.4.0/24"


def node(name: str = "n1", *ranges: str, revision: str = "7", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "resourceVersion": revision},
        "spec": {"podCIDRs": list(ranges)} if ranges else {},
        "status": status,
    }


def page(*items: Any, revision: str = "5", more: str = "") -> bytes:
    metadata = {"resourceVersion": revision, **({"continue": more} if more else {})}
    return json.dumps({"metadata": metadata, "items": list(items)}).encode()


def event(kind: str, found: Any) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def listed(*items: Any) -> Watch[NodeObject]:
    """A watch whose list is complete."""
    watch = Watch(NODES, read_node, "metadata.name=n1")
    answer(watch, page(*items))
    return watch


def answer(watch: Watch[Any], data: bytes) -> bool:
    """Answer a whole request; return whether something may have changed."""
    watch.target()
    return watch.receive(data) or watch.finish()


def asked(watch: Watch[Any]) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(watch.target()).query).items()}


def ranges(watch: Watch[NodeObject], name: str = "n1") -> list[str]:
    return list(map(str, watch.objects[name].pod_ranges))


# -- What is asked ---------------------------------------------------------------------------------


def test_it_lists_first_and_watches_from_there_for_a_limited_time() -> None:
    watch = Watch(NODES, read_node, "metadata.name=n1")
    first = asked(watch)

    answer(watch, page(node("n1", RANGE), revision="5"))

    assert "watch" not in first
    assert first["fieldSelector"] == "metadata.name=n1"
    second = asked(watch)
    assert (second["watch"], second["resourceVersion"]) == ("1", "5")
    assert int(second["timeoutSeconds"]) == 300


def test_a_long_list_is_asked_for_in_pages_and_counts_when_it_is_complete() -> None:
    watch = Watch(NODES, read_node)
    answer(watch, page(node("n1", RANGE), more="token"))
    between = dict(watch.objects), watch.is_known, asked(watch)["continue"]

    answer(watch, page(node("n2", OTHER)))

    assert between == ({}, False, "token")
    assert watch.objects.keys() == {"n1", "n2"}


def test_a_list_follows_each_watch_so_that_silence_of_a_restored_server_ends() -> None:
    watch = listed(node("n1", RANGE))

    answer(watch, b"")  # a revision from the future: nothing comes, and then the time is over

    assert not watch.is_watching
    answer(watch, page(node("n1", OTHER), revision="2"))
    assert ranges(watch) == [OTHER]


# -- What is known ---------------------------------------------------------------------------------


def test_a_range_that_comes_late_is_an_event() -> None:
    watch = listed(node("n1"))
    watch.target()

    is_news = watch.receive(event("MODIFIED", node("n1", RANGE, "fd77:244::/64", revision="9")))

    assert is_news
    assert ranges(watch) == [RANGE, "fd77:244::/64"]


def test_a_heartbeat_is_no_news() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()

    assert not watch.receive(event("MODIFIED", node("n1", RANGE, revision="9", phase="x")))


def test_a_node_that_is_deleted_and_registered_again_has_its_new_range() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()

    watch.receive(event("DELETED", node("n1", RANGE, revision="8")))
    gone = dict(watch.objects)
    watch.receive(event("ADDED", node("n1", revision="9")) + event("MODIFIED", node("n1", OTHER)))

    assert gone == {}
    assert ranges(watch) == [OTHER]


def test_a_bookmark_moves_the_revision_alone() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()
    metadata = {"resourceVersion": "99"}

    assert not watch.receive(event("BOOKMARK", {"metadata": metadata}))

    assert asked(watch)["resourceVersion"] == "99"
    assert ranges(watch) == [RANGE]


def test_a_revision_that_is_too_old_has_the_objects_listed_again_and_forgets_nothing() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()

    with pytest.raises(WatchError, match="expired"):
        watch.receive(event("ERROR", {"kind": "Status", "code": 410}))

    assert not watch.is_watching
    assert ranges(watch) == [RANGE]


def test_an_event_may_come_in_any_pieces() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()
    line = event("MODIFIED", node("n1", OTHER))

    news = [watch.receive(line[at : at + 1]) for at in range(len(line))]

    assert news == [*[False] * (len(line) - 1), True]
    assert ranges(watch) == [OTHER]


def test_an_answer_that_breaks_off_changes_nothing() -> None:
    watch = listed(node("n1", RANGE))
    watch.restart()
    watch.target()
    watch.receive(page(node("n1", OTHER))[:40])

    watch.restart()

    assert ranges(watch) == [RANGE]
    assert not watch.is_watching


def test_an_old_node_with_one_range_is_read() -> None:
    found = node("n1")
    found["spec"] = {"podCIDR": RANGE}

    assert read_node(found).pod_ranges == (parse_global_prefix(RANGE),)


@pytest.mark.parametrize(("reason", "network"), [("CalicoIsUp", "Calico"), ("FlannelIsUp", "")])
def test_a_network_of_pods_with_pools_of_its_own_is_recognised(reason: str, network: str) -> None:
    condition = {"type": "NetworkUnavailable", "status": "False", "reason": reason}

    assert read_node(node("n1", RANGE, conditions=[condition])).network == network


def test_service_ranges_are_read() -> None:
    watch = Watch(SERVICE_RANGES, read_service_range)
    cidrs = ["10.96.0.0/16", "fd77:96::/112"]

    answer(watch, page({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}}))

    assert list(map(str, watch.objects["kubernetes"].ranges)) == cidrs


# -- What is refused -------------------------------------------------------------------------------

WRONG = (
    b"<html>moved</html>\n", b"{}\n", b"[]\n", b"null\n", b"1\n", b'{"type":"ADDED"}\n',
    b'{"type":"ADDED","object":null}\n', b'{"type":"ERROR","object":3}\n', b"[" * 100_000 + b"\n",
    b'{"type":"ERROR","object":{"code":500}}\n', b'{"type":"DELETED","object":{"metadata":{}}}\n',
    b"\xff\xfe\n", b"9" * 5000 + b"\n",
)  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_event_is_refused_and_forgets_nothing(line: bytes) -> None:
    watch = listed(node("n1", RANGE))
    watch.target()

    with pytest.raises(WatchError):
        watch.receive(line)

    assert ranges(watch) == [RANGE]
    assert not watch.is_watching


@pytest.mark.parametrize("data", [*WRONG, b"", page(revision=""), b'{"items":3,"metadata":{}}'])
def test_what_is_no_list_is_refused_and_forgets_nothing(data: bytes) -> None:
    watch = listed(node("n1", RANGE))
    watch.restart()
    watch.target()
    watch.receive(data)

    with pytest.raises(WatchError):
        watch.finish()

    assert ranges(watch) == [RANGE]


@pytest.mark.parametrize(
    "texts",
    [
        ["10.244.2.1/24"], ["x"], [3], "10.0.0.0/8", [RANGE] * 5, [["10.0.0.0/8"]], ["10.0.0.0/33"],
        ["2001:db8::%eth0/64"], ["::ffff:10.0.0.0/104"],
    ],
)  # fmt: skip
def test_a_node_with_ranges_that_are_none_keeps_its_last_ones_and_is_told(texts: Any) -> None:
    watch = listed(node("n1", RANGE))
    watch.target()
    broken = node("n1")
    broken["spec"] = {"podCIDRs": texts}

    assert not watch.receive(event("MODIFIED", broken))

    assert ranges(watch) == [RANGE]
    assert "n1" in watch.trouble
    answer(watch, b"")
    answer(watch, page(broken))
    assert ranges(watch) == [RANGE]
    watch.target()
    watch.receive(event("MODIFIED", node("n1", OTHER)))
    assert watch.trouble == ""


def test_an_error_is_told_without_control_characters() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()

    with pytest.raises(WatchError) as raised:
        watch.receive(event("ERROR", {"code": "\x1b[2J"}))

    assert str(raised.value).isprintable()


def test_a_line_without_an_end_is_refused() -> None:
    watch = listed(node("n1", RANGE))
    watch.target()
    watch.receive(b"x" * MAX_LINE)

    with pytest.raises(WatchError, match="MiB"):
        watch.receive(b"x")


def test_a_list_without_an_end_is_refused() -> None:
    watch = Watch(NODES, read_node)
    for _ in range(MAX_PAGES):
        answer(watch, page(more="token"))

    with pytest.raises(WatchError, match="does not end"):
        answer(watch, page(more="token"))


def test_more_objects_than_a_cluster_has_are_refused() -> None:
    watch = listed()
    watch.target()
    for number in range(MAX_OBJECTS):
        watch.receive(event("ADDED", node(f"n{number}")))

    with pytest.raises(WatchError, match="objects"):
        watch.receive(event("ADDED", node("one-more")))


_KEYS = st.sampled_from(
    ["type", "object", "metadata", "name", "spec", "podCIDRs", "status", "conditions", "addresses", "code",
     "resourceVersion", "items", "continue", "reason", "address"]
)  # fmt: skip
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([RANGE, "410"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_EVENT = st.builds(
    event, st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "OTHER"]), _ANYTHING
)
_BYTES = st.binary(max_size=64) | _EVENT | _ANYTHING.map(lambda found: json.dumps(found).encode() + b"\n")


@given(st.lists(st.tuples(_BYTES, st.booleans()), max_size=12))
def test_no_bytes_raise_anything_else(pieces: list[tuple[bytes, bool]]) -> None:
    watch = listed(node("kept", RANGE))

    for data, is_end in pieces:
        watch.target()
        with suppress(WatchError):
            watch.receive(data)
            if is_end:
                watch.finish()
        assert all(isinstance(found, NodeObject) for found in watch.objects.values())
