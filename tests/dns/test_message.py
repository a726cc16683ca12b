"""Questions as they come, and answers as they leave."""

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.dns.zones import answered, question, zone
from wgpy.dns.message import MAX_PAYLOAD, Answer, Malformed, Rcode, Record, Type, read_query, write_answer
from wgpy.dns.responder import respond

HEADER = bytes.fromhex("abcd 0100 0001 0000 0000 0000")
WEB1 = b"\4web1\4prod\4mesh\0"


def test_the_question_is_sent_back_as_it_came() -> None:
    data = question("wEb1.PROD.mesh")

    answer = respond(zone(), data, by_tcp=False)

    assert isinstance(answer, bytes)
    assert answer[:2] == data[:2]
    assert data[12:] in answer


@pytest.mark.parametrize(("asked", "used"), [(None, 512), (100, 512), (1000, 1000), (4096, MAX_PAYLOAD)])
def test_an_answer_by_udp_is_as_long_as_the_client_and_the_way_take(asked: int | None, used: int) -> None:
    query = read_query(question("web1.prod.mesh", payload=asked))

    assert query.payload == used


def test_what_is_longer_is_cut_off_and_asked_again_by_tcp() -> None:
    query = read_query(question("web1.prod.mesh", payload=512))
    records = [Record(query.name, Type.A, 60, bytes((10, 0, 0, i))) for i in range(100)]

    message = write_answer(query, Answer(Rcode.NOERROR, records), query.payload)

    cut = dns.message.from_wire(message)
    assert (len(message) <= 512, cut.answer, bool(cut.flags & dns.flags.TC), cut.edns) == (True, [], True, 0)
    whole = dns.message.from_wire(write_answer(query, Answer(Rcode.NOERROR, records), 65535))
    assert (len(whole.answer[0]), bool(whole.flags & dns.flags.TC)) == (100, False)


def test_edns_is_answered_with_edns_and_nothing_else_is() -> None:
    assert answered(question("web1.prod.mesh", payload=1400), zone()).edns == 0
    assert answered(question("web1.prod.mesh"), zone()).edns == -1


def test_a_later_version_of_edns_is_refused_by_name() -> None:
    later = dns.message.make_query("web1.prod.mesh", "A")
    later.use_edns(1)  # which Debian 12's make_query takes for 0

    assert answered(later.to_wire(), zone()).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize(
    "data",
    [
        HEADER,
        HEADER + WEB1,
        HEADER + WEB1 + b"\0\1\0",
        HEADER + b"\xc0\x0c\0\1\0\1",
        HEADER + b"\x40" + bytes(64) + b"\0\0\1\0\1",
        HEADER + 5 * (b"\x3f" + bytes(63)) + b"\0\0\1\0\1",
        HEADER[:4] + bytes((0, 2)) + HEADER[6:] + 2 * (WEB1 + b"\0\1\0\1"),
        HEADER[:4] + bytes(8),
        HEADER[:10] + b"\0\1" + WEB1 + b"\0\1\0\1",
        HEADER[:10] + b"\0\1" + WEB1 + b"\0\1\0\1" + b"\0\0\x29\4\xd0\0\0\0\0\0\1",
        HEADER[:10] + b"\0\2" + WEB1 + b"\0\1\0\1" + 2 * b"\0\0\x29\4\xd0\0\0\0\0\0\0",
        HEADER[:10] + b"\0\1" + WEB1 + b"\0\1\0\1" + b"\1x\0\0\x29\4\xd0\0\0\0\0\0\0",
    ],
    ids=[
        "no question", "no type", "half a class", "a pointer", "a long label", "a long name", "two questions",
        "none", "a record is missing", "a record is cut off", "EDNS twice", "EDNS of a name",
    ],
)  # fmt: skip
def test_what_is_no_question_is_a_format_error(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read_query(data)

    answer = dns.message.from_wire(caught.value.answer)
    assert (answer.id, answer.rcode()) == (0xABCD, dns.rcode.FORMERR)
    assert len(caught.value.answer) <= len(data)


@pytest.mark.parametrize("data", [b"", HEADER[:11], HEADER[:2] + b"\x81" + HEADER[3:] + WEB1 + b"\0\1\0\1"])
def test_half_a_header_and_an_answer_are_dropped(data: bytes) -> None:
    assert respond(zone(), data, by_tcp=False) == b""


def test_the_longest_name_is_read() -> None:
    name = b"\x3f" + 63 * b"a" + b"\x3f" + 63 * b"b" + b"\x3f" + 63 * b"c" + b"\x3d" + 61 * b"d" + b"\0"
    assert len(name) == 255

    assert len(read_query(HEADER + name + b"\0\1\0\1").name) == 4
