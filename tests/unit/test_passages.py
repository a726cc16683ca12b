"""The ways from a mesh to networks behind this host, which are looked up in its own routes."""

from ipaddress import ip_address, ip_interface, ip_network

from wgpy.host.passages import Mesh, own_addresses, passages

MESH = Mesh("mesh0", {4: ip_address("10.20.0.9"), 6: ip_address("fd12::9")})
OWN = {
    "lo": (ip_interface("127.0.0.1/8"),),
    "lan": (ip_interface("192.0.2.7/32"), ip_interface("192.0.2.1/24")),
}


def test_a_network_that_is_this_host_alone_needs_no_passage() -> None:
    assert passages(MESH, [ip_network("192.0.2.7/32")], OWN) == []
    assert (
        passages(
            MESH,
            [ip_network("192.0.2.0/31")],
            {"lan": (ip_interface("192.0.2.0/31"), ip_interface("192.0.2.1/31"))},
        )
        == []
    )


def test_an_address_there_is_not_this_hosts() -> None:
    (found,) = passages(MESH, [ip_network("192.0.2.0/24")], OWN)

    assert found.host == ip_address("192.0.2.2")


def test_a_network_of_a_version_that_the_mesh_has_not_is_left_out() -> None:
    assert passages(Mesh("mesh0", {}), [ip_network("192.0.2.0/24")], OWN) == []


def test_addresses_that_share_a_network_with_others_come_first() -> None:
    assert own_addresses(ip_network("192.0.2.0/24"), OWN) == [
        ip_address("192.0.2.1"),
        ip_address("192.0.2.7"),
    ]


def test_what_is_not_forwarded_has_a_flow_each_way() -> None:
    (found,) = passages(MESH, [ip_network("192.0.2.0/24")], OWN)

    begun, answer = found.flows()
    assert (begun.arrives_by, begun.source, begun.state) == ("mesh0", ip_address("10.20.0.9"), "new")
    assert (answer.leaves_by, answer.destination, answer.state) == (
        "mesh0",
        ip_address("10.20.0.9"),
        "established",
    )
