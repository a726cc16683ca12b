"""Whose filter is strict, and what nft's text says that we have changed."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from wgpy.host.reverse_path import changed_interfaces, may_need_changes, strict_interfaces


def settings(folder: Path, name: str, values: Mapping[str, int]) -> Path:
    """Make a folder like /proc/sys/net/ipv4/conf. values: of the setting, by interface."""
    for interface, value in {"all": 0, **values}.items():
        path = folder / interface / name
        path.parent.mkdir()
        path.write_text(f"{value}\n")
    return folder


@pytest.mark.parametrize(
    ("everywhere", "strict"), [(0, ["eth0"]), (1, ["eth0", "lan.7"]), (2, [])], ids=["off", "strict", "loose"]
)
def test_the_greater_value_counts(tmp_path: Path, everywhere: int, strict: list[str]) -> None:
    values = {"all": everywhere, "eth0": 1, "lan.7": 0, "wan": 2}
    found = strict_interfaces(["eth0", "lan.7", "wan"], settings(tmp_path, "rp_filter", values))

    assert found == strict


def test_a_host_without_ipv4_filters_nothing(tmp_path: Path) -> None:
    assert strict_interfaces(["eth0"], tmp_path / "none") == []
    assert not may_need_changes(tmp_path / "none")


@pytest.mark.parametrize("name", ["rp_filter", "src_valid_mark"])
def test_what_is_strict_or_was_is_looked_at(tmp_path: Path, name: str) -> None:
    assert may_need_changes(settings(tmp_path, name, {"eth0": 1}))


def test_a_loose_filter_needs_nothing(tmp_path: Path) -> None:
    assert not may_need_changes(settings(tmp_path, "rp_filter", {"all": 2, "eth0": 0}))


def test_what_was_changed_is_read_from_the_set_of_that_name() -> None:
    text = """
table inet wgpy-mesh-1 {
  set strict {
    type ifname
    elements = { "eth9" }
  }

  set src_valid_mark {
    type ifname
    elements = { "lan.7",
           "eth0" }
  }
}
"""

    assert changed_interfaces(text) == {"lan.7", "eth0"}


@pytest.mark.parametrize(
    "text", ["", 'set src_valid_mark {\n type ifname\n}\nset strict {\n elements = { "eth0" }\n}']
)
def test_where_nothing_was_changed_nothing_is_found(text: str) -> None:
    assert changed_interfaces(text) == set()
