"""Whatever a network's keys sign, a node says what it has of it, and why it reaches another or does not."""

import asyncio
import json
import socket
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.documents import checked
from tests.mesh.network import DAY, EVERYTHING, Administrator, key_of
from tests.mesh.nodes import Network
from tests.mesh.test_agent import HOME
from tests.mesh.test_extreme_values import JSON, OTHER, TOKEN, a_number, extremes, some_prefixes
from wgpy.cli.mesh.status import text
from wgpy.cli.mesh.why import judge
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.signing import Signed
from wgpy.node import document
from wgpy.node.agent_client import Status
from wgpy.node.files import NodeFile
from wgpyd.agent.agent import Agent

TIMEOUT: Final = 20.0  # seconds, for an example


@settings(max_examples=20)
@given(extremes(), st.data())
def test_a_node_tells_of_records_with_the_greatest_and_the_least_of_each_field(
    one: Administrator, data: st.DataObject
) -> None:
    assume(one.now >= DAY)  # when this node was admitted is no time before 1970
    odd = damaged(one, data)
    if data.draw(st.booleans()):  # or hardly a node would be a peer
        one.invite(TOKEN, expires=MAX_NUMBER, uses=MAX_NUMBER, routes=EVERYTHING)
        one.rule("any", "any")
        one.join(key_of(6), TOKEN, routes=data.draw(some_prefixes()), sequence=data.draw(a_number()))

    status = asyncio.run(reported(one, odd))

    found = checked(
        ("wgpy", "mesh", "status"), document.text({"networks": {"lab": status}, "network_keys": {}})
    )
    assert len(found["networks"]["lab"]["peers"]) == len(status.peers)
    text(status, None).encode()
    others = {*(peer.name for peer in status.peers), *(node.name for node in status.excluded)}
    for name in ("nobody", *(others - {status.name})):
        for finding in judge(status, name, one.now):
            str(finding).encode()


def damaged(one: Administrator, data: st.DataObject) -> Signed:
    """A record of which one field is anything."""
    body = json.loads(data.draw(st.sampled_from(one.records)).body)
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JSON)
    return OTHER.sign(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


async def reported(one: Administrator, odd: Signed) -> Status:
    """Run a node of this network, whose coordinator is away, and return what it says of itself."""
    network = Network(one, TOKEN)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network.store(network.join(HOME), folder)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        interface = Interface(PacketSocket(ours, name="no-such-link"))
        interface.start()
        try:
            async with asyncio.timeout(TIMEOUT):
                return await _report(
                    Agent("prod", folder, NodeFile.load(folder), interface, lambda: one.now), odd
                )
        finally:
            interface.close()
            theirs.close()


async def _report(agent: Agent, odd: Signed) -> Status:
    await agent.start()
    try:
        agent.store.learn([odd], "neighbour n3")
        return await agent.control.status()
    finally:
        await agent.stop()
