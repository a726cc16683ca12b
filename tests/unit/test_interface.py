"""Two interfaces in one process: socketpairs for TUN devices, loopback UDP for the network, no root."""

import asyncio
import gc
import socket
from contextlib import closing
from pathlib import Path

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged
from wgpy.contract.orders import AllowedIP
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.tun import PacketSocket
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerUpdate
from wgpy.testing.packets import InnerPacket

from .interface_hosts import TIMEOUT, Host, data_path, host, packet, pair, prefix

__all__ = ["data_path"]  # a fixture: all of this holds for both


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4 inside", "IPv6 inside"])
def test_packets_pass_both_ways(loopback: str, ipv6: bool) -> None:
    async def scenario() -> None:
        async with pair(loopback) as (one, two):
            await one.send(packet(one, two, 1, ipv6=ipv6))
            assert await two.received() == 1
            await two.send(packet(two, one, 2, ipv6=ipv6))
            assert await one.received() == 2

    asyncio.run(scenario())


def test_a_packet_of_the_whole_mtu_passes() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1, size=1420))
            assert await two.received() == 1

    asyncio.run(scenario())


def test_an_answer_leaves_from_the_address_that_was_contacted() -> None:
    async def scenario() -> None:
        async with pair("127.0.0.77") as (one, two):
            await one.send(packet(one, two, 1))
            await two.received()
            await two.send(packet(two, one, 2))
            await one.received()

            known = (await one.peer(two)).endpoint
            assert known is not None
            assert known.address == "127.0.0.77"
            met = (await two.peer(one)).endpoint
            assert met is not None
            assert met.local_address == "127.0.0.77"

    asyncio.run(scenario())


@pytest.mark.parametrize("setting", ["endpoint", "port", "mark"])
def test_setting_endpoint_port_or_mark_leaves_our_source_address_to_the_kernel(setting: str) -> None:
    async def scenario() -> None:
        async with pair("127.0.0.77") as (one, two):
            await one.send(packet(one, two, 1))
            await two.received()
            met = (await two.peer(one)).endpoint
            assert met is not None
            assert met.local_address == "127.0.0.77"
            updates = {
                "endpoint": DeviceUpdate(peers=[PeerUpdate(one.public_key, endpoint=met.without_source())]),
                "port": DeviceUpdate(listen_port=0),
                "mark": DeviceUpdate(fwmark=0),
            }

            await two.interface.configure(updates[setting])

            assert (await two.peer(one)).endpoint == met.without_source()
            await two.send(packet(two, one, 2))
            assert await one.received() == 2

    asyncio.run(scenario())


def test_a_packet_that_waits_for_a_private_key_passes_when_it_arrives() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.interface.configure(DeviceUpdate(private_key=PrivateKey(bytes(32))))
            await one.send(packet(one, two, 1))
            await one.send(InnerPacket("10.0.0.1", "10.9.9.9", 0))
            await dropped(one, DropReason.NO_PEER_FOR_DESTINATION)  # so the one before it was read

            await one.interface.configure(DeviceUpdate(private_key=one.key))

            assert await two.received() == 1

    asyncio.run(scenario())


async def dropped(host: Host, reason: DropReason) -> None:
    """Return when the host has dropped something for this reason."""
    async with asyncio.timeout(TIMEOUT):
        while not host.interface.counters()[reason]:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


def test_a_peer_set_again_with_another_preshared_key_has_no_session_by_the_former() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1))
            await two.received()

            again = two.update("127.0.0.1", preshared_key=PresharedKey.generate())
            await one.interface.configure(DeviceUpdate(replace_peers=True, peers=[again]))

            assert (await one.peer(two)).last_handshake_time == 0
            await two.interface.configure(DeviceUpdate(peers=[one.update(preshared_key=again.preshared_key)]))
            await one.send(packet(one, two, 2))
            assert await two.received() == 2
            assert (await one.peer(two)).last_handshake_time > 0

    asyncio.run(scenario())


def test_the_status_tells_sessions_and_settings() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            secret = PresharedKey.generate()
            for here, there in ((one, two), (two, one)):
                await here.interface.configure(
                    DeviceUpdate(peers=[there.update(preshared_key=secret, persistent_keepalive=25)])
                )
            await one.send(packet(one, two, 1))
            await two.received()

            sent, received = await one.peer(two), await two.peer(one)
            assert sent.preshared_key == received.preshared_key == secret
            assert sent.persistent_keepalive == 25
            assert sent.allowed_ips == (prefix("10.0.0.2/32"), prefix("fd00::2/128"))
            assert sent.last_handshake_time > 0
            # An initiation and a message of 32 + 32 bytes at least; a response the other way.
            assert sent.tx_bytes >= received.rx_bytes >= 148 + 64
            assert sent.rx_bytes >= 92

    asyncio.run(scenario())


def test_a_peer_set_again_keeps_its_session() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1))
            await two.received()
            before = (await two.peer(one)).last_handshake_time

            await one.interface.configure(DeviceUpdate(replace_peers=True, peers=[two.update("127.0.0.1")]))
            await one.send(packet(one, two, 2))

            assert await two.received() == 2
            assert (await two.peer(one)).last_handshake_time == before

    asyncio.run(scenario())


def test_the_listen_port_changes_under_a_running_session() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1))
            await two.received()
            old = one.interface.listen_port

            await one.interface.configure(DeviceUpdate(listen_port=0))
            await one.send(packet(one, two, 2))

            assert await two.received() == 2
            assert one.interface.listen_port not in (0, old)

    asyncio.run(scenario())


def test_a_port_in_use_changes_nothing_at_all() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            before = await one.interface.status()
            update = DeviceUpdate(
                private_key=PrivateKey.generate(), listen_port=two.interface.listen_port, replace_peers=True
            )

            with pytest.raises(OSError, match="in use"):
                await one.interface.configure(update)

            assert await one.interface.status() == before
            await one.send(packet(one, two, 1))
            assert await two.received() == 1

    asyncio.run(scenario())


def test_a_large_set_lets_packets_pass_meanwhile() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 0))
            await two.received()
            many = tuple(
                AllowedIPChange(AllowedIP(number.to_bytes(4, "big"), 32))
                for number in range(2**24, 2**24 + 50_000)
            )
            large = PeerUpdate(PrivateKey.generate().public_key(), allowed_ips=many)

            configuring = asyncio.create_task(one.interface.configure(DeviceUpdate(peers=[large])))
            passed = 0
            while not configuring.done():
                passed += 1
                await one.send(packet(one, two, passed))
                assert await two.received() == passed
            await configuring

            assert passed > 1
            assert len((await one.interface.status()).peers[1].allowed_ips) == len(many)

    asyncio.run(scenario())


def test_a_large_set_may_come_before_the_start() -> None:
    peers = [
        PeerUpdate(
            PrivateKey.generate().public_key(), endpoint=Endpoint("127.0.0.1", 9), persistent_keepalive=1
        )
        for _ in range(2000)
    ]

    async def scenario() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, closing(Interface(PacketSocket(ours))) as interface:
            await interface.configure(DeviceUpdate(private_key=PrivateKey.generate(), peers=peers))

            assert len((await interface.status()).peers) == len(peers)

    asyncio.run(scenario())


def test_the_status_is_never_from_the_middle_of_a_set() -> None:
    async def scenario() -> None:
        async with host(1) as one:
            many = tuple(
                AllowedIPChange(AllowedIP(number.to_bytes(4, "big"), 32)) for number in range(20_000)
            )
            large = PeerUpdate(PrivateKey.generate().public_key(), allowed_ips=many)
            configuring = asyncio.create_task(one.interface.configure(DeviceUpdate(peers=[large])))
            await asyncio.sleep(0)
            assert not configuring.done()

            status = await one.interface.status()

            assert len(status.peers[0].allowed_ips) == len(many)
            await configuring

    asyncio.run(scenario())


def test_junk_datagrams_are_counted_and_change_nothing() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for junk in (
                    b"",
                    b"x",
                    bytes(148),
                    b"\x01" + bytes(147),
                    b"\x04" + bytes(31),
                    b"\x02" * 5000,
                ):
                    sender.sendto(junk, ("127.0.0.1", two.interface.listen_port))

            await one.send(packet(one, two, 1))

            assert await two.received() == 1
            dropped = two.interface.counters()
            assert dropped[DropReason.INVALID_MAC1] == 1
            assert dropped[DropReason.UNKNOWN_INDEX] == 1
            assert dropped[DropReason.UNKNOWN_TYPE] == 4

    asyncio.run(scenario())


def test_the_newest_timestamp_is_given_away_to_be_kept() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1))
            await two.received()

            assert one.clocks.kept[bytes(one.public_key)] > 0

    asyncio.run(scenario())


def test_a_key_goes_on_where_its_clock_stood() -> None:
    async def scenario() -> None:
        future = 2**62  # ns since 1970: in a hundred years
        async with pair() as (one, two):
            key = PrivateKey.generate()
            one.clocks.kept[bytes(key.public_key())] = future
            await one.interface.configure(DeviceUpdate(private_key=key))
            await two.interface.configure(
                DeviceUpdate(peers=[PeerUpdate(key.public_key(), allowed_ips=one.update().allowed_ips)])
            )

            await one.send(packet(one, two, 1))

            assert await two.received() == 1
            assert one.clocks.kept[bytes(key.public_key())] > future

    asyncio.run(scenario())


def sessions_of(interface: Interface) -> "asyncio.Queue[tuple[PublicKey, bool]]":
    """Each new session, with whom and whether this end began it."""
    sessions: asyncio.Queue[tuple[PublicKey, bool]] = asyncio.Queue()

    def listen(key: PublicKey, event: DeviceEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            sessions.put_nowait((key, event.initiator))

    interface.subscribe(listen)
    return sessions


def test_both_ends_are_told_of_a_new_session_and_who_began_it() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            ours, theirs = sessions_of(one.interface), sessions_of(two.interface)

            await one.send(packet(one, two, 1))
            async with asyncio.timeout(TIMEOUT):
                assert await ours.get() == (two.public_key, True)
                assert await theirs.get() == (one.public_key, False)

    asyncio.run(scenario())


def test_any_number_may_listen_each_until_it_ends_that() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            first, second = sessions_of(one.interface), sessions_of(one.interface)
            unwanted: list[DeviceEvent] = []
            unsubscribe = one.interface.subscribe(lambda key, event: unwanted.append(event))
            unsubscribe()
            unsubscribe()

            await one.send(packet(one, two, 1))
            async with asyncio.timeout(TIMEOUT):
                assert await first.get() == await second.get()
            assert unwanted == []

    asyncio.run(scenario())


def test_an_endpoint_that_becomes_another_is_reported() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            endpoints: asyncio.Queue[int] = asyncio.Queue()

            def listen(key: PublicKey, event: DeviceEvent) -> None:
                if isinstance(event, EndpointChanged):
                    endpoints.put_nowait(event.endpoint.port)

            two.interface.subscribe(listen)
            await one.send(packet(one, two, 1))
            async with asyncio.timeout(TIMEOUT):
                assert await endpoints.get() == one.interface.listen_port

    asyncio.run(scenario())


def open_descriptors() -> int:
    gc.collect()  # those of the data path in C go with its object
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_interface_works_within_its_context_and_is_closed_after_it() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            async with Interface(PacketSocket(ours)) as interface:
                await interface.configure(DeviceUpdate(private_key=PrivateKey.generate()))
            await interface.wait_closed()

            assert theirs.recv(1) == b""

    asyncio.run(scenario())


def test_who_asks_an_interface_that_was_closed_is_told_so() -> None:
    async def scenario() -> None:
        async with host(1) as one:
            one.interface.close()

            with pytest.raises(ConnectionError, match="the interface was closed"):
                await one.interface.status()

    asyncio.run(scenario())


def test_an_interface_that_never_started_is_closed_with_all_its_descriptors() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            Interface(PacketSocket(ours)).close()

            assert theirs.recv(1) == b""

    before = open_descriptors()
    asyncio.run(scenario())

    assert open_descriptors() == before


def test_an_interface_ends_with_its_device() -> None:
    async def scenario() -> None:
        async with host(1) as one:
            one.packets.close()
            async with asyncio.timeout(TIMEOUT):
                await one.interface.wait_closed()

    asyncio.run(scenario())


def test_closing_twice_is_harmless() -> None:
    async def scenario() -> None:
        async with host(1) as one:
            one.interface.close()
            one.interface.close()
            await one.interface.wait_closed()

    asyncio.run(scenario())


def test_it_works_on_uvloop_as_well() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1))
            assert await two.received() == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
