"""Where a host says that it may be reached, by what it has and by what nodes saw of it."""

from ipaddress import IPv6Network, ip_address, ip_network

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import Answer
from wgpy.paths.exchange import Candidate, PathKind
from wgpyd.agent.host_networks import HostNetworks
from wgpyd.agent.local_candidates import LocalCandidates

PORT = 51820
INSIDE = Endpoint("192.168.1.7", PORT)
HOME = HostNetworks({}, (ip_address(INSIDE.address),))
ELSEWHERE = HostNetworks({}, (ip_address("10.9.9.9"),))
RELAYS = Endpoint("203.0.113.2", PORT), Endpoint("203.0.113.3", PORT)


def seen(remote: Endpoint, port: int) -> Answer:
    return Answer(bytes(32), remote, 0, Endpoint("198.51.100.1", port), 100)


def at(here: HostNetworks, *named: Endpoint, is_dialled: bool = False) -> LocalCandidates:
    local = LocalCandidates()
    local.configure(here, PORT, named, is_dialled=is_dialled)
    return local


def test_a_host_behind_a_nat_tells_its_own_address_and_what_nodes_see() -> None:
    local = at(HOME)
    before = local.candidates

    for relay in RELAYS:
        local.note_answer(seen(relay, 7000))

    own, outside = (
        Candidate(INSIDE, PathKind.LAN),
        Candidate(Endpoint("198.51.100.1", 7000), PathKind.REFLEXIVE),
    )
    assert before == (own,)
    assert local.candidates == (outside, own)


def test_the_next_ports_of_a_nat_that_counts_are_told_in_whatever_order_answers_came() -> None:
    for ports in ((7000, 7001), (7001, 7000)):
        local = at(HOME)
        for relay, port in zip(RELAYS, ports, strict=True):
            local.note_answer(seen(relay, port))

        _, (first, second, *_) = local.predict(())

        assert first == Candidate(Endpoint("198.51.100.1", 7002), PathKind.PREDICTED)
        assert second == Candidate(Endpoint("198.51.100.1", 7003), PathKind.PREDICTED)


def test_what_becomes_known_after_a_look_counts_at_the_next_one() -> None:
    local, ports = at(HOME), []
    for number, relay in enumerate(RELAYS):
        local.note_sent(relay, number)
        local.note_answer(seen(relay, 7000 + number))

    for remote in (Endpoint("203.0.113.4", PORT), Endpoint("203.0.113.5", PORT)):
        ports.append(local.predict(())[1][0].endpoint.port)
        local.note_sent(remote, len(RELAYS))

    assert ports == [7002, 7003]


def test_what_is_sent_to_the_own_networks_takes_no_port_of_the_nat_and_to_those_of_others_does() -> None:
    networks: dict[Prefix, str] = {ip_network("192.168.1.0/24"): "eth0"}
    local = at(HostNetworks(networks, HOME.addresses, {ip_network("10.1.0.0/16"): "eth0"}))
    for number, relay in enumerate(RELAYS):
        local.note_sent(relay, number)
        local.note_answer(seen(relay, 7000 + number))

    local.note_sent(Endpoint("192.168.1.8", PORT), len(RELAYS))
    local.note_sent(Endpoint("10.1.2.3", PORT), len(RELAYS))
    near = local.predict(())[1][0].endpoint.port
    local.note_sent(Endpoint("192.168.2.8", PORT), len(RELAYS))

    assert [near, local.predict(())[1][0].endpoint.port] == [7002, 7003]


def test_what_others_dial_needs_no_opening() -> None:
    public, named = Endpoint("198.51.100.7", PORT), Endpoint("198.51.100.8", 443)
    here = HostNetworks({}, (ip_address(public.address), ip_address(INSIDE.address)))

    assert set(at(here, named, is_dialled=True).candidates) == {
        Candidate(named, PathKind.PUBLIC),
        Candidate(public, PathKind.PUBLIC),
        Candidate(INSIDE, PathKind.LAN),
    }
    assert Candidate(public, PathKind.REFLEXIVE) in at(here).candidates


def test_an_ipv6_address_that_no_node_has_seen_counts_everywhere() -> None:
    address = Endpoint("2001:db8::7", PORT)

    local = at(HostNetworks({}, (ip_address(address.address),)))

    assert local.candidates == (Candidate(address, PathKind.IPV6),)


def test_another_network_has_another_nat() -> None:
    local = at(HOME)
    local.note_answer(seen(RELAYS[0], 7000))

    assert not local.configure(HOME, PORT, (), is_dialled=False)
    assert local.configure(ELSEWHERE, PORT, (), is_dialled=False)

    assert local.candidates == (Candidate(Endpoint("10.9.9.9", PORT), PathKind.LAN),)


def test_a_nat64_is_the_nat_of_ipv4_and_none_of_ipv6() -> None:
    six, prefix, local = Endpoint("2001:db8::7", PORT), IPv6Network("64:ff9b::/96"), LocalCandidates()
    here = HostNetworks({}, (ip_address(six.address),))
    local.configure(here, PORT, (), is_dialled=False, nat64=prefix)

    local.note_answer(Answer(bytes(32), Endpoint("2001:db8:ffff::1", PORT), 0, six, 100))
    for relay in ("64:ff9b::cb00:7102", "64:ff9b::cb00:7103"):
        local.note_answer(seen(Endpoint(relay, PORT), 7000))

    four = Candidate(Endpoint("198.51.100.1", 7000), PathKind.REFLEXIVE)
    assert set(local.candidates) == {four, Candidate(six, PathKind.IPV6)}
    assert [one.is_translated for one in local.behaviours] == [True, False]


def test_a_peer_behind_a_nat64_which_sees_others_in_its_own_prefix_tells_nothing_of_a_nat() -> None:
    here = HostNetworks({}, (ip_address("198.51.100.1"), ip_address("2001:db8::7")))
    translated = Endpoint("64:ff9b::c633:6401", PORT)
    local = at(here)
    for relay in RELAYS:
        local.note_answer(seen(relay, PORT))
    before = local.candidates, local.behaviours

    local.note_answer(Answer(bytes(32), Endpoint("203.0.113.9", 7000), 0, translated, 100))
    local.note_answer(Answer(bytes(32), Endpoint("2001:db8::9", 7000), 0, Endpoint("192.0.2.9", PORT), 100))

    assert (local.candidates, local.behaviours) == before
    assert [one.is_translated for one in local.behaviours] == [False, None]


def test_another_nat64_is_another_network() -> None:
    here, local = HostNetworks({}, (ip_address("2001:db8::7"),)), LocalCandidates()
    local.configure(here, PORT, (), is_dialled=False, nat64=IPv6Network("64:ff9b::/96"))
    local.note_answer(seen(Endpoint("64:ff9b::cb00:7102", PORT), 7000))

    assert local.configure(here, PORT, (), is_dialled=False, nat64=IPv6Network("2001:db8:64::/96"))
    assert [one.seen_as for one in local.behaviours] == [(), ()]
