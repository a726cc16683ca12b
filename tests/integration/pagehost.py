"""The page of a large network that nobody has, served on a host: `pagehost.py NODES` prints the link."""

import asyncio
import sys
import time
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from tests.unit.mesh_statuses import a_status, peer
from wgpy.cli.page.server import PageServer
from wgpy.cli.page.view import view
from wgpy.mesh.signing import SigningKey
from wgpy.node.agent_client import Peer, Status

_TAGS = ("servers", "office", "edge", "")


def _peer(number: int, now: int) -> Peer:
    """One of each state in turn; what it has sent grows with the time."""
    states: tuple[dict[str, Any], ...] = (
        {},
        {},
        {},
        {"relay": "n0"},
        {"by_connection": True},
        {"unanswered": 60},
        {"last_handshake": 0},
    )
    usual = {"last_handshake": now - 30, "round_trip": 1000 + 100 * number}
    return peer(
        name=f"n{number}", identity=SigningKey(number.to_bytes(32, "big")).verify_key(),
        address=IPv4Address("100.64.0.0") + number + 10, tags=(_TAGS[number % 4],) if number % 4 < 3 else (),
        received=number * now, **{**usual, **states[number % len(states)]},
    )  # fmt: skip


def _status(nodes: int) -> Status:
    now = int(time.time())
    return a_status(heard=now, peers=tuple(_peer(number, now) for number in range(1, nodes + 1)))


async def _main(nodes: int) -> None:
    async def state(_: Mapping[str, str]) -> dict[str, Any]:
        return {**view(_status(nodes))}

    async with PageServer({"/state": state}).listening("127.0.0.1", 0) as link:
        print(link, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
