"""Asks a site's own name servers about its zones, by their addresses in the mesh, and rewrites what they say.

Invariant: no loop, as so many of one question are under way at once and no more. A server says what passes
`wgpy.dns.rewriting`, and no more.
"""

import asyncio
import os
from collections.abc import Iterable

from wgpy.dns import responder
from wgpy.dns.message import RA, TC, Query, Rcode, write_query
from wgpy.dns.renaming import Renaming
from wgpy.dns.responder import without_answer
from wgpy.dns.rewriting import is_forwardable, rewrite
from wgpy.dns.zone import Site

from .forwarder import PATIENCE, USELESS, Server, UnderWay, ask_by_tcp, ask_by_udp


class SiteForwarder:
    """Of one node."""

    def __init__(self) -> None:
        self._under_way = UnderWay()

    async def ask(
        self, query: Query, servers: Iterable[Server], site: Site, by_tcp: bool,
        renaming: Renaming | None = None,
    ) -> bytes:  # fmt: skip
        """Return the first answer that is of use, or one that says that there is none.

        site: as whoever asks reaches its hosts; renaming: of the domain, None if it has one name.
        """
        if not is_forwardable(query):
            return without_answer(query, Rcode.REFUSED, RA)
        limit = responder.limit(query, by_tcp=by_tcp)
        return await self._under_way.bound(query, _first(query, servers, site, limit, renaming))


async def _first(
    query: Query, servers: Iterable[Server], site: Site, limit: int, renaming: Renaming | None
) -> bytes:
    asked = renaming.asked(query) if renaming else query
    last = without_answer(query, Rcode.SERVFAIL, RA)
    for server in servers:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await _exchange(server, asked)
            last = await asyncio.to_thread(rewrite, query, answer, site, limit, renaming)
        except (OSError, EOFError, TimeoutError, ValueError, ImportError):
            continue
        if last[3] & 0xF not in USELESS:
            return last
    return last


async def _exchange(server: Server, query: Query) -> bytes:
    """Return a whole answer. Raises OSError, EOFError."""
    question = write_query(query, int.from_bytes(os.urandom(2)))
    answer = await ask_by_udp(server, question, query)
    is_cut = int.from_bytes(answer[2:4]) & TC
    return await ask_by_tcp(server, question, query) if is_cut else answer
