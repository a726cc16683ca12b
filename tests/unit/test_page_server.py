"""The server of `wgpy mesh page`: to whom it gives what."""

import asyncio
import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from http.client import HTTPConnection, HTTPResponse
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest

from wgpy.cli.errors import CommandError
from wgpy.cli.page.server import PageServer

_SECRET = "a node's name"


class Visitor:
    """A browser's requests, which come from a thread of its own."""

    def __init__(self, link: str) -> None:
        self.link = urlsplit(link)
        self.headers: dict[str, str] = {}

    async def gets(self, target: str, method: str = "GET", **headers: str) -> HTTPResponse:
        """Send a request; in names of headers, an underscore is a hyphen."""
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await asyncio.to_thread(self._get, target, method, given)

    def _get(self, target: str, method: str, headers: dict[str, str]) -> HTTPResponse:
        connection = HTTPConnection(self.link.hostname or "", self.link.port)
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        answer.body = answer.read().decode()  # type: ignore[attr-defined]
        return answer

    async def logs_in(self) -> HTTPResponse:
        answer = await self.gets(f"{self.link.path}?{self.link.query}")
        self.headers["Cookie"] = str(answer.getheader("Set-Cookie")).partition(";")[0]
        return answer


def body(answer: HTTPResponse) -> str:
    return str(answer.body)  # type: ignore[attr-defined]


def visit(visited: Callable[[Visitor], Awaitable[None]]) -> None:
    """Have a visitor of a server."""

    async def state(query: Mapping[str, str]) -> Any:
        if "fail" in query:
            raise CommandError("the node does not run")
        return {"name": _SECRET}

    async def run() -> None:
        async with PageServer({"/state": state}).listening("127.0.0.1", 0) as link:
            await visited(Visitor(link))

    asyncio.run(run())


_TARGETS = ("/", "/page.js", "/page.css", "/cytoscape.min.js", "/state", "/state?token=", "/nothing")


@pytest.mark.parametrize("target", _TARGETS)
def test_without_the_link_nobody_gets_anything(target: str) -> None:
    async def run(someone: Visitor) -> None:
        answer = await someone.gets(target)

        assert answer.status == 403
        assert body(answer) == "This needs the link that `wgpy mesh page` has printed.\n"

    visit(run)


@pytest.mark.parametrize("query", ["", "?token=", "?token=abc", "?token=%00", "?token=%E9"])
def test_another_token_logs_nobody_in(query: str) -> None:
    async def run(someone: Visitor) -> None:
        answer = await someone.gets("/login" + query)

        assert answer.status == 403
        assert answer.getheader("Set-Cookie") is None

    visit(run)


def test_the_link_gives_a_cookie_that_no_script_reads_and_no_other_site_sends() -> None:
    async def run(someone: Visitor) -> None:
        answer = await someone.logs_in()

        given = str(answer.getheader("Set-Cookie"))
        assert given.endswith("; Path=/; HttpOnly; SameSite=Strict")
        assert (await someone.gets("/")).status == 200
        assert _SECRET in body(await someone.gets("/state"))

    visit(run)


@pytest.mark.parametrize("cookie", ["wgpy-1=a", 'wgpy-1="', "=", "\xff", "a=b; $Path=/"])
def test_another_cookie_is_none(cookie: str) -> None:
    async def run(someone: Visitor) -> None:
        assert (await someone.gets("/state", Cookie=cookie)).status == 403

    visit(run)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "0.0.0.0"])
def test_a_name_that_leads_here_for_another_site_is_refused(host: str) -> None:
    """DNS rebinding: the browser takes this server for the other site's."""

    async def run(someone: Visitor) -> None:
        await someone.logs_in()

        for target in ("/", "/state", "/login?" + someone.link.query):
            answer = await someone.gets(target, Host=host)
            assert answer.status == 421
            assert _SECRET not in body(answer)

    visit(run)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_sites_page_asks_for_is_refused(site: str) -> None:
    """Same site: another port of this host."""

    async def run(someone: Visitor) -> None:
        await someone.logs_in()

        for target in ("/", "/page.js", "/state"):
            assert (await someone.gets(target, Sec_Fetch_Site=site)).status == 403
        assert (await someone.gets("/state", Sec_Fetch_Site="same-origin")).status == 200

    visit(run)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    async def run(someone: Visitor) -> None:
        await someone.logs_in()

        assert (await someone.gets("/state", method)).status == 405

    visit(run)


def test_a_browser_is_told_to_run_nothing_that_comes_from_elsewhere_or_stands_in_the_page() -> None:
    async def run(someone: Visitor) -> None:
        answers = [await someone.logs_in(), *[await someone.gets(target) for target in _TARGETS]]

        for answer in answers:
            policy = str(answer.getheader("Content-Security-Policy"))
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.getheader("X-Content-Type-Options") == "nosniff"
            assert answer.getheader("Cache-Control") == "no-store"

    visit(run)


def test_a_node_that_nobody_looks_at_has_nothing_of_the_page() -> None:
    program = (
        "import sys, wgpyd.main, wgpyd.agent.start; print([one for one in sys.modules if 'page' in one])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_library_is_the_one_that_is_named() -> None:
    folder = files("wgpy.cli.page").joinpath("static")

    digest = hashlib.sha256(folder.joinpath("cytoscape.min.js").read_bytes()).hexdigest()

    assert digest in folder.joinpath("VENDORED.md").read_text()


def test_the_page_asks_nobody_else_and_has_no_script_or_style_inside() -> None:
    page = files("wgpy.cli.page").joinpath("static", "index.html").read_text()

    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert all(found.startswith("/") for found in re.findall(r"(?:src|href)=\"([^\"]*)\"", page))
    assert "<style" not in page
    assert re.search(r"<script[^>]*>[^<]", page) is None
    assert re.search(r"\son\w+=|\sstyle=", page) is None


def test_what_cannot_be_answered_is_a_sentence() -> None:
    async def run(someone: Visitor) -> None:
        await someone.logs_in()

        answer = await someone.gets("/state?fail=1")

        assert answer.status == 503
        assert body(answer) == '{"detail": "the node does not run"}'
        assert (await someone.gets("/%2e%2e/server.py")).status == 404

    visit(run)


def test_it_listens_at_the_address_that_was_given_and_no_other() -> None:
    async def run(someone: Visitor) -> None:
        with socket.socket() as other:
            other.settimeout(5)
            assert await asyncio.to_thread(other.connect_ex, ("127.0.0.2", someone.link.port)) != 0

    visit(run)
