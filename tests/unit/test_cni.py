"""The file by which a container runtime joins pods to a node's ranges."""

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from wgpy.host.cni import CniFailed, conflist, remove_conflist, write_conflist

RANGES = (ip_network("10.244.2.0/24"), ip_network("fd77:244:0:2::/64"))
FOREIGN = '{"cniVersion": "0.4.0", "name": "cbr0", "plugins": []}'


def test_pods_have_an_address_of_each_range_and_the_mtu_of_the_mesh() -> None:
    bridge, portmap = plugins(conflist(RANGES, 1380))

    assert bridge["mtu"] == 1380
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}], [{"subnet": "fd77:244:0:2::/64"}]]
    assert portmap["type"] == "portmap"


def test_a_bridge_takes_the_gateway_of_a_new_range_and_pods_reach_themselves_by_a_service() -> None:
    bridge, _ = plugins(conflist(RANGES[:1], 1380))

    assert bridge["forceAddress"] is bridge["isDefaultGateway"] is bridge["hairpinMode"] is True


def test_a_file_follows_the_ranges_and_says_whether_it_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "net.d" / "10-wgpy.conflist"

    changes = [write_conflist(path, conflist(ranges, 1380)) for ranges in (RANGES, RANGES, RANGES[:1])]

    assert changes == [True, False, True]
    assert path.read_text() == conflist(RANGES[:1], 1380)
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", [FOREIGN, "", "[]", "{", "\x00"])
def test_a_file_of_another_cni_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "10-flannel.conflist"
    path.write_text(text)

    with pytest.raises(CniFailed, match="is not of wgpy: move it away, or name another file"):
        write_conflist(path, conflist(RANGES, 1380))
    remove_conflist(path)

    assert path.read_text() == text


def test_a_file_of_ours_is_removed_once(tmp_path: Path) -> None:
    path = tmp_path / "10-wgpy.conflist"
    write_conflist(path, conflist(RANGES, 1380))

    remove_conflist(path)
    remove_conflist(path)

    assert not path.exists()


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "net.d").write_text("a file")

    with pytest.raises(CniFailed, match="cannot be written: "):
        write_conflist(tmp_path / "net.d" / "10-wgpy.conflist", conflist(RANGES, 1380))


def plugins(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["plugins"]
    return found
