"""From an interface as it is to the one of the plan, with whatever addresses others gave it."""

from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.mesh.plan import LinkPlan
from wgpyd.agent.reconcile.link import FoundLink, InterfaceAddress, link_changes, read_link

OWN, OWN6 = ip_interface("100.80.0.7/16"), ip_interface("fd12:3456::7/32")
PLAN = LinkPlan(1380, (OWN, OWN6))
LEFT_OVER = ip_interface("100.80.0.7/24")
FOREIGN = ip_interface("100.80.0.8/16"), ip_interface("fe80::1/64"), ip_interface("10.0.0.1/32")

links = st.builds(
    FoundLink,
    is_up=st.booleans(),
    mtu=st.sampled_from([1280, 1380, 1500]),
    addresses=st.frozensets(st.sampled_from([OWN, OWN6, LEFT_OVER, *FOREIGN])),
)


def carried_out(link: FoundLink, lines: list[str]) -> FoundLink:
    """What a kernel makes of lines for `ip`, each of which must succeed."""
    is_up, mtu, addresses = link.is_up, link.mtu, set[InterfaceAddress](link.addresses)
    for line in lines:
        match line.split(" "):
            case ["link", "set", "dev", "mesh0", "mtu", number, "up"]:
                is_up, mtu = True, int(number)
            case ["address", "delete", text, "dev", "mesh0"]:
                addresses.remove(ip_interface(text))
            case ["address", "add", text, "dev", "mesh0", *_, "noprefixroute"]:
                assert ip_interface(text) not in addresses
                addresses.add(ip_interface(text))
            case other:
                raise AssertionError(other)
    return FoundLink(is_up, mtu, frozenset(addresses))


@given(links)
def test_from_any_link_the_plan_is_reached_and_what_is_foreign_stays(link: FoundLink) -> None:
    after = carried_out(link, list(link_changes(link, PLAN, "mesh0")))

    assert (after.is_up, after.mtu) == (True, 1380)
    assert after.addresses == {OWN, OWN6} | (link.addresses & set(FOREIGN))
    assert list(link_changes(after, PLAN, "mesh0")) == []


@pytest.mark.parametrize(("flags", "is_up"), [(["UP", "LOWER_UP"], True), (["NOARP", "LOWER_UP"], False)])
def test_what_ip_answers_is_read(flags: list[str], is_up: bool) -> None:
    answer = [
        {
            "ifname": "mesh0", "flags": flags, "mtu": 1380,
            "addr_info": [
                {"family": "inet", "local": "100.80.0.7", "prefixlen": 16},
                {"family": "inet6", "local": "fd12:3456::7", "prefixlen": 32, "nodad": True},
                {},
            ],
        }
    ]  # fmt: skip

    assert read_link(answer) == FoundLink(is_up, 1380, frozenset((OWN, OWN6)))
