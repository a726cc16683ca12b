"""The next process, when what it is to take over is gone."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpyd.errors import StartError
from wgpyd.handover.channel import Channel, Message
from wgpyd.handover.takeover import Takeover


@pytest.mark.parametrize("step", [Takeover.configure, Takeover.renew_sessions])
def test_an_interface_that_was_deleted_is_told_in_a_sentence(
    step: Callable[[Takeover, Interface], Awaitable[None]],
) -> None:
    async def scenario() -> None:
        here, there = socket.socketpair()
        device, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        offer = Message({"queues": 0, "uapi": "wg0.sock", "handover": ".wg0.handover"}, [-1, -1])
        with there, host:
            interface = Interface(PacketSocket(device))
            interface.start()
            interface.close()
            takeover = Takeover(Channel(here), offer, is_mesh=False)
            with pytest.raises(StartError, match="cannot take over: the interface was closed"):
                await step(takeover, interface)
            here.close()

    asyncio.run(scenario())
