"""A coordinator that is reached by an HTTP proxy, as in networks that let nothing else out."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.mesh.coordinator import ALICE, Site, founded, in_a_loop
from tests.mesh.coordinator_port import free_port
from wgpy.node.coordinator_client import Coordinator, Unreachable
from wgpy.node.proxy import Proxy

LOOPBACK = "127.1"  # a name of this host that nobody takes for one: what is near is not asked by a proxy


@pytest.fixture(autouse=True)
def _no_other_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tinyproxy(tmp_path: Path) -> Iterator[int]:
    """Debian's, which wants a password; its port."""
    program = shutil.which("tinyproxy")
    if program is None:
        pytest.skip("needs tinyproxy: apt-get install tinyproxy")
    port, file = free_port(), tmp_path / "tinyproxy.conf"
    file.write_text(
        f'Port {port}\nListen 127.0.0.1\nBasicAuth alice s3cret\nLogFile "{tmp_path}/proxy.log"\n'
    )
    process = subprocess.Popen([program, "-d", "-c", file])
    try:
        yield port
    finally:
        process.kill()
        process.wait()


async def seen(site: Site, url: str = "") -> str:
    """Ask the coordinator by its other name. url: as `Address.proxy`."""
    port = urlsplit(site.address.url).port
    address = replace(site.address, url=f"https://{LOOPBACK}:{port}", proxy=url)
    async with Coordinator(address, site.administrator.key.verify_key(), ALICE) as coordinator:
        (health,) = await coordinator.nodes()
        return str(health.identity)


async def until_it_listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


@in_a_loop
async def test_the_environment_names_a_proxy_and_its_user(
    tmp_path: Path, tinyproxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_it_listens(tinyproxy)
    monkeypatch.setenv("https_proxy", f"http://alice:s3cret@127.0.0.1:{tinyproxy}")
    async with founded(tmp_path / "prod", ALICE) as (site, _):
        assert await seen(site) == str(ALICE.verify_key())

    assert "CONNECT" in (tmp_path / "proxy.log").read_text()


@in_a_loop
async def test_a_node_knows_its_proxy_where_the_environment_names_none(
    tmp_path: Path, tinyproxy: int
) -> None:
    await until_it_listens(tinyproxy)
    async with founded(tmp_path / "prod", ALICE) as (site, _):
        assert await seen(site, f"http://alice:s3cret@127.0.0.1:{tinyproxy}") == str(ALICE.verify_key())

    assert "CONNECT" in (tmp_path / "proxy.log").read_text()


@in_a_loop
async def test_a_proxy_that_refuses_is_named_with_its_answer(
    tmp_path: Path, tinyproxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_it_listens(tinyproxy)
    monkeypatch.setenv("HTTPS_PROXY", f"http://alice:wrong@127.0.0.1:{tinyproxy}")
    async with founded(tmp_path / "prod", ALICE) as (site, _):
        with pytest.raises(
            Unreachable, match=rf"the proxy 127\.0\.0\.1:{tinyproxy} answers 40\d for 127\.1:"
        ):
            await seen(site)


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
@in_a_loop
async def test_what_is_excepted_is_reached_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv(variable, f"example.com,{LOOPBACK}")
    async with founded(tmp_path, ALICE) as (site, _):
        assert await seen(site) == str(ALICE.verify_key())


@in_a_loop
async def test_a_coordinator_on_this_host_is_reached_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    async with founded(tmp_path, ALICE) as (site, _), site.ask(ALICE) as coordinator:
        assert len(await coordinator.nodes()) == 1


@in_a_loop
async def test_a_proxy_that_is_away_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    async with founded(tmp_path, ALICE) as (site, _):
        with pytest.raises(Unreachable, match="does not answer: Connection refused"):
            await seen(site)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "closed the connection|cannot be understood"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be understood"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000,
            "cannot be understood|closed the connection",
            id="headers without end",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "answers 502"),
    ],
)
@in_a_loop
async def test_what_is_no_proxy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, why: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    async with server, founded(tmp_path, ALICE) as (site, _):
        with pytest.raises(Unreachable, match=why):
            await seen(site)


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1080", "https://proxy:1", "http://", "http://a:b@c:x"])
def test_a_proxy_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="is no http://HOST:PORT") as refused:
        Proxy.parse(url)

    assert "a:b@" not in str(refused.value)


def test_a_proxy_needs_neither_scheme_nor_port() -> None:
    assert str(Proxy.parse("proxy.example").address) == "proxy.example:80"
    assert str(Proxy.parse("http://[2001:db8::1]:3128/").address) == "[2001:db8::1]:3128"
