"""What `wgpy.Tunnel`'s connections wait for: see `tunnelworld`."""

import pytest

from tests.integration.hosts import Lab
from tests.integration.peers import Implementation
from tests.integration.tunnelworld import World

pytestmark = pytest.mark.xdist_group("tunnel")


@pytest.fixture
def world(lab: Lab, daemon: Implementation) -> World:
    return World.build(lab, daemon)


def test_what_a_connection_sends_waits_for_no_acknowledgement(world: World) -> None:
    """As those of asyncio do not: it turns Nagle's algorithm off where a socket names its protocol."""
    printed = world.run("""
        import asyncio, socket, wgpy

        def is_immediate(writer):
            made = writer.get_extra_info("socket")
            return made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

        async def answer(reader, writer):
            writer.write(str(is_immediate(writer)).encode())
            writer.close()

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                async with await tunnel.start_server(answer, None, 80):
                    reader, writer = await tunnel.open_connection("10.20.0.1", 80)
                    print(is_immediate(writer), (await reader.read()).decode())
                    writer.close()

        asyncio.run(main())
        """)

    assert printed == "True True\n"
