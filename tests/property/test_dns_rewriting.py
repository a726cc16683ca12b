"""Whatever a site's name server sends, the mesh gets a message without any address of elsewhere, or none."""

from ipaddress import ip_address

import dns.message
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from tests.dns.zones import HERE, MappedSite, question
from wgpy.dns.message import read_query
from wgpy.dns.rewriting import rewrite

NAMES = ("www.office.example.", "a.office.example.", "b.example.", "office.example.")
names = st.sampled_from(NAMES)
addresses4 = st.ip_addresses(v=4, network="192.168.0.0/23") | st.ip_addresses(v=4)
addresses6 = st.ip_addresses(v=6)
records = st.one_of(
    st.tuples(names, st.just("A"), addresses4.map(str)),
    st.tuples(names, st.just("AAAA"), addresses6.map(str)),
    st.tuples(names, st.sampled_from(["CNAME", "DNAME", "NS", "PTR"]), names),
    st.builds(
        lambda name, kind, four, six: (name, kind, f"1 . ipv4hint={four} ipv6hint={six}"),
        names, st.sampled_from(["HTTPS", "SVCB"]), addresses4, addresses6,
    ),
    st.tuples(names, st.just("TXT"), st.text("ab", min_size=1, max_size=200)),
)  # fmt: skip
limits = st.sampled_from([512, 600, 1232, 65535])


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A question, and an answer of which some bytes are changed, inserted or cut off."""
    asked = question(NAMES[0], draw(st.sampled_from(["A", "AAAA", "HTTPS", "ANY"])))
    reply = dns.message.make_response(dns.message.from_wire(asked))
    for section in (reply.answer, reply.authority, reply.additional):
        for name, kind, text in draw(st.lists(records, max_size=6)):
            section.append(dns.rrset.from_text(name, draw(st.integers(0, 10**6)), "IN", kind, text))
    data = bytearray(reply.to_wire())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return asked, bytes(data)


@given(answers(), limits)
def test_no_address_passes_that_is_not_of_the_site(pair: tuple[bytes, bytes], limit: int) -> None:
    asked, data = pair

    try:
        found = rewrite(read_query(asked), data, MappedSite(), limit)
    except ValueError:
        return

    assert len(found) <= limit
    message = dns.message.from_wire(found)
    assert (message.id, found[12 : len(asked)]) == (int.from_bytes(asked[:2]), asked[12:])
    assert not message.additional
    for rrset in (*message.answer, *message.authority):
        assert rrset.ttl <= 60
        for text in _addresses(rrset):
            assert ip_address(text) in HERE


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_question_are_an_answer_or_an_error(data: bytes) -> None:
    asked = question(NAMES[0])
    header = asked[:2] + b"\x81\x80\0\1\0\1\0\1\0\1"

    try:
        dns.message.from_wire(rewrite(read_query(asked), header + asked[12:] + data, MappedSite(), 512))
    except ValueError:
        return


def _addresses(rrset: dns.rrset.RRset) -> list[str]:
    found: list[str] = []
    for rdata in rrset:
        found += [rdata.address] if hasattr(rdata, "address") else []
        for key, hint in getattr(rdata, "params", {}).items():
            found += hint.addresses if key in (4, 6) else ()
    return found
