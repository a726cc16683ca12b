"""Requests as clients without a key may write them: what is refused by its head, and the order of answers."""

import json
from pathlib import Path

import pytest

from tests.mesh.coordinator import Site, in_a_loop
from tests.mesh.coordinator_port import (
    HALF_A_HEAD,
    HELLO,
    MIB,
    connect,
    post,
    rest_of,
    sent_until_the_end,
)
from wgmesh.limits import MAX_BODY, Allowance, Limits

# -- Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (post(MAX_BODY + 1), 413),
        (post(1 << 60), 413),
        (b"POST /v1/records HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"HEAD /v1/hello HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (post(MAX_BODY + 1).replace(b"POST", b"HEAD"), 413),
        (HALF_A_HEAD + b"a:\r\n" * 4000, 431),
        (b"\x00\r\n\r\n", 400),
    ],
)
@in_a_loop
async def test_a_head_suffices_for_a_refusal_and_nothing_more_is_read(
    tmp_path: Path, head: bytes, status: int
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        sent = await sent_until_the_end(writer, b"1\r\nx\r\n" * 10_000)

        assert answer.startswith(f"HTTP/1.1 {status}".encode())
        assert b"connection: close" in answer.lower()
        assert sent < 16 * MIB  # what the buffers of both kernels take


@in_a_loop
async def test_a_body_that_does_not_come_is_not_waited_for_whatever_the_method(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(body_timeout=0.1)):
        for method in (b"POST", b"HEAD"):
            reader, writer = await connect(site)
            writer.write(post(10).replace(b"POST", method))

            assert (await rest_of(reader)).startswith(b"HTTP/1.1 408")
            writer.close()


@in_a_loop
async def test_nothing_is_read_after_the_applications_refusal(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(b"GET /v1/follow HTTP/1.1\r\nHost: x\r\n\r\n")

        assert (await reader.read(MIB)).startswith(b"HTTP/1.1 401")
        assert await sent_until_the_end(writer, HELLO * 10_000) < 16 * MIB


@in_a_loop
async def test_more_than_the_allowance_is_refused_before_it_is_read(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(received=Allowance(rate=1, burst=100))):
        reader, writer = await connect(site)
        writer.write(post(101))

        assert (await reader.read(MIB)).startswith(b"HTTP/1.1 429")
        writer.close()


@in_a_loop
async def test_a_refusal_reaches_who_is_still_sending(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(received=Allowance(rate=1, burst=100))):
        reader, writer = await connect(site)
        writer.write(post(MAX_BODY) + b"x" * MAX_BODY)

        assert b"too much comes from this address" in await rest_of(reader)
        writer.close()


# -- Answers ---------------------------------------------------------------------------------------


@in_a_loop
async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        body = json.dumps({"records": []}).encode()
        writer.write(HELLO + post(len(body)) + body + b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO)

        answers = (await rest_of(reader)).split(b"HTTP/1.1 ")[1:]

        assert [answer[:3] for answer in answers] == [b"200", b"200", b"404"]  # and nothing after a refusal
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("HEAD /v1/hello HTTP/1.1", 405),
        ("GET /v1/hello HTTP/1.0", 200),
        ("OPTIONS * HTTP/1.1", 404),
        ("CONNECT vpn.example.com:1 HTTP/1.1", 404),
        ("GET /%ff%00 HTTP/1.1", 404),
        ("PRI * HTTP/2.0", 404),
    ],
)
@in_a_loop
async def test_what_is_unusual_is_answered_without_a_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_line: str, status: int
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(f"{request_line}\r\nHost: x\r\n\r\n".encode())

        assert (await rest_of(reader)).startswith(f"HTTP/1.1 {status}".encode())
        writer.close()
    assert caplog.text == ""


@in_a_loop
async def test_who_asks_before_it_sends_a_body_is_told_to_go_on(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    body = json.dumps({"records": []}).encode()
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(post(len(body)).replace(b"Host: x\r\n", b"Host: x\r\nExpect: 100-continue\r\n"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(body)

        assert (await reader.read(MIB)).startswith(b"HTTP/1.1 200")
        writer.close()
