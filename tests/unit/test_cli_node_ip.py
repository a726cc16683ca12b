"""What `wgpy mesh node-ip` takes for an address that kubelet finds."""

from typing import Any

import pytest

from wgpy.cli.mesh.node_ip import usable_addresses


@pytest.mark.parametrize(
    ("change", "usable"),
    [
        ({}, {"100.80.0.2", "fd00::2"}),
        ({"flags": ["NO-CARRIER"]}, set()),
        ({"addr_info": []}, set()),
        ({"addr_info": [{"local": "fd00::2", "tentative": True}]}, set()),
    ],
    ids=["up", "down", "without addresses", "not tested yet"],
)
def test_an_address_is_usable_once_it_is_on_an_interface_that_is_up(
    change: dict[str, Any], usable: set[str]
) -> None:
    link = {"flags": ["UP"], "addr_info": [{"local": "100.80.0.2"}, {"local": "fd00::2"}], **change}

    assert usable_addresses([link]) == usable


def test_an_interface_that_is_gone_has_no_address() -> None:
    assert usable_addresses([]) == set()
