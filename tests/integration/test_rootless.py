"""Tunnels inside rootless containers, whose network is slirp4netns or pasta: see `rootlesscontainer`."""

import re
import signal
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hosts import HostProcess, Lab, eventually
from tests.integration.ordinaryuser import attempt_as_user
from tests.integration.peers import Implementation
from tests.integration.rootlesscontainer import NETWORKS, Container
from tests.integration.tunnelworld import World

pytestmark = pytest.mark.xdist_group("rootless")

_WGPY = str(Path(sys.executable).with_name("wgpy"))
_SILENCE = 190.0  # seconds, after which Debian's pasta has forgotten a port
_ECN = "which clears ECN"


@pytest.fixture(scope="module")
def world(module_lab: Lab, daemon: Implementation) -> World:
    return World.build(module_lab, daemon)


@pytest.fixture(scope="module", params=NETWORKS)
def container(world: World, request: pytest.FixtureRequest) -> Container:
    return Container.start(world, request.param)


def test_a_tunnel_has_both_families_names_and_a_server_inside(container: Container) -> None:
    said = python(
        container,
        """
        import asyncio, wgpy

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                await tunnel.connected()
                for host in ("10.20.0.2", "fd20::2", "web.example.test"):
                    reader, writer = await tunnel.open_connection(host, 7)
                    writer.write(host.encode())
                    writer.write_eof()
                    print((await reader.read()).decode())
                    writer.close()
                print(bool(tunnel.user_mode_interface))
                print((await tunnel.status()).peers[0].persistent_keepalive)

        asyncio.run(main())
        """,
    )

    assert said.split() == ["10.20.0.2", "fd20::2", "web.example.test", "True", "25"]


def test_a_keepalive_of_the_configuration_stays_as_it_is(container: Container) -> None:
    said = python(
        container,
        """
        import pathlib, wgpy

        text = pathlib.Path("wg0.conf").read_text()
        for keepalive in ("off", "7"):
            with wgpy.Tunnel(f"{text}PersistentKeepalive = {keepalive}\\n") as tunnel:
                print(tunnel.status().peers[0].persistent_keepalive)
        """,
    )

    assert said.split() == ["0", "7"]


def test_a_program_runs_inside_and_its_user_is_told_that_ecn_is_lost(container: Container) -> None:
    done = container.attempt(
        _WGPY, "exec", "./wg0.conf", "--", "ping", "-n", "-c", "1", "-W", "60", "10.20.0.2"
    )

    assert (done.status, _ECN in done.output, "1 received" in done.output) == (0, True, True)


def test_a_proxy_serves_and_says_that_ecn_is_lost(container: Container) -> None:
    lead = ("--forward", "127.0.0.1:0=web.example.test:7")
    serving = container.launch(_WGPY, "proxy", "./wg0.conf", *lead)
    eventually(lambda: "forward 127.0.0.1:" in serving.log.read_text(), "it serves")
    (port,) = re.findall(r"127\.0\.0\.1:(\d+) to", serving.log.read_text())

    assert container.run("sh", "-c", f"printf hello | nc -w 60 -N 127.0.0.1 {port}") == "hello"
    assert _ECN in serving.log.read_text()
    serving.kill(signal.SIGTERM)
    serving.wait()


def test_a_daemon_says_that_ecn_is_lost_and_what_keeps_a_path(world: World, container: Container) -> None:
    world.left.run("mkdir", "-p", "/run/wireguard")
    container.run("mount", "-t", "tmpfs", "tmpfs", "/run/wireguard")

    daemon = container.launch(str(Path(_WGPY).with_name("wgpyd")), "-f", "wg7")

    eventually(lambda: _ECN in daemon.log.read_text(), "it is said")
    assert "PersistentKeepalive of 25 s" in daemon.log.read_text()
    daemon.kill(signal.SIGTERM)
    daemon.wait()


def test_behind_a_bridge_it_is_known_by_the_mark_of_podman(container: Container) -> None:
    said = python(
        container.behind_bridge(),
        """
        import wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            with tunnel.create_connection(("10.20.0.2", 7), timeout=100) as connection:
                connection.sendall(b"over a bridge")
                print(connection.recv(100).decode())
            print(tunnel.user_mode_interface, tunnel.status().peers[0].persistent_keepalive)
        """,
    )

    assert said.splitlines() == ["over a bridge", "eth0 25"]


def test_in_a_container_with_the_network_of_the_host_nothing_of_it_is_said(world: World) -> None:
    world.left.run("touch", "/run/.containerenv")
    program = "from wgpy.host import user_mode; print(user_mode.is_contained(), [user_mode.find_interface()])"

    said = attempt_as_user(
        world.left, "unshare", "--user", "--map-root-user", sys.executable, "-W", "error", "-c", program
    )

    assert said.output == "True ['']\n"


def test_on_the_host_nothing_of_it_is_said(world: World) -> None:
    said = world.run("""
        import wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            print(repr(tunnel.user_mode_interface), tunnel.status().peers[0].persistent_keepalive)
        """)

    assert said == "'' 0\n"


def test_the_network_clears_ecn(world: World, container: Container) -> None:
    """The reason of the warning: datagrams that leave with ECT(0) arrive without."""
    receiving = world.right.host.start(sys.executable, "-c", dedent("""
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiving:
            receiving.bind(("10.10.0.2", 5000))
            receiving.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
            print("ready", flush=True)
            _, [(_, _, tos)], _, _ = receiving.recvmsg(100, 100)
            print(tos[0])
        """))  # fmt: skip
    eventually(lambda: "ready" in receiving.log.read_text(), "the peer receives")

    python(
        container,
        """
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 2)
            sending.sendto(b"ECT(0)", ("10.10.0.2", 5000))
        """,
    )

    assert receiving.wait().output.split() == ["ready", "0"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_other_peer_reaches_a_server_inside_after_minutes_of_silence(
    world: World, container: Container
) -> None:
    serving = start_python(
        container,
        """
        import asyncio, wgpy

        async def greet(reader, writer):
            writer.write(b"inside")
            writer.close()

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel, await tunnel.start_server(greet, None, 80):
                await tunnel.connected()
                print("ready", flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
        """,
    )
    eventually(lambda: "ready" in serving.log.read_text(), "it serves")
    time.sleep(_SILENCE)

    for address in ("10.20.0.1", "fd20::1"):
        assert world.right.host.run("nc", "-d", "-w", "30", address, "80") == "inside"
    serving.kill(signal.SIGTERM)
    serving.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tunnel_that_was_paused_for_minutes_has_a_path_again(container: Container) -> None:
    serving = start_python(
        container,
        """
        import pathlib, time, wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            tunnel.connected()
            print("ready", flush=True)
            while not pathlib.Path("/run/user/resumed").exists():
                time.sleep(0.1)
            while True:
                with tunnel.create_connection(("10.20.0.2", 7), timeout=300) as connection:
                    connection.sendall(b"again")
                    print(connection.recv(5).decode(), flush=True)
                    break
        """,
    )
    eventually(lambda: "ready" in serving.log.read_text(), "it is connected")
    container.host.run("rm", "-f", "/run/user/resumed")
    serving.kill(signal.SIGSTOP)
    time.sleep(_SILENCE)
    container.host.run("touch", "/run/user/resumed")

    serving.kill(signal.SIGCONT)

    assert serving.wait(400).output.split() == ["ready", "again"]


# -- Helpers -------------------------------------------------------------------------------------


def python(container: Container, program: str) -> str:
    return container.run(sys.executable, "-W", "error", "-c", dedent(program))


def start_python(container: Container, program: str) -> HostProcess:
    return container.launch(sys.executable, "-u", "-W", "error", "-c", dedent(program))
