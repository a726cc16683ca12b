"""`wgpy.Tunnel`: a program of an ordinary user, in a network of its own: see `tunnelworld`."""

import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hosts import HostProcess, Lab, Result, eventually
from tests.integration.ordinaryuser import AS_USER, attempt_as_user
from tests.integration.peers import Implementation
from tests.integration.tunnelworld import MANY_ADDRESSES, World
from tests.mesh.postgresql import PostgreSQL

pytestmark = pytest.mark.xdist_group("tunnel")

_README = Path(__file__).parents[2] / "README.md"
_FILTERED = (str(Path(__file__).with_name("filtered.py")), "unshare")
_OPENS = 'import wgpy\nwith wgpy.Tunnel("wg0.conf"): pass'


@pytest.fixture(scope="module")
def world(module_lab: Lab, daemon: Implementation) -> World:
    return World.build(module_lab, daemon)


def test_the_example_of_the_readme_fetches_a_page(world: World) -> None:
    (example,) = re.findall(r"```python\n([^`]*wgpy\.Tunnel[^`]*)```", _README.read_text())

    assert "hello" in world.run(example)


@pytest.mark.parametrize("library", ["aiohttp", "httpx", "requests"])
def test_libraries_fetch_a_page(world: World, library: str) -> None:
    example = _README.with_name("examples") / f"{library}_by_tunnel.py"
    url = "http://web.example.test/"

    done = attempt_as_user(world.left, sys.executable, "-W", "error", str(example), "wg0.conf", url)

    assert done == Result(0, "hello\n\n")


def test_asyncpg_asks_a_database(world: World) -> None:
    url = "postgresql://wgmesh@web.example.test/postgres"
    with PostgreSQL.made() as server:
        serving = world.right.host.start(*server.service("10.20.0.2"))
        eventually(lambda: "ready to accept" in serving.log.read_text(), "it serves", within=60)

        done = attempt_as_user(world.left, *example("asyncpg_by_tunnel"), "wg0.conf", url)

        serving.kill(signal.SIGINT)
        serving.wait()
    assert done == Result(0, "42\n")


def test_a_configuration_is_a_tunnel_and_a_page(world: World) -> None:
    done = attempt_as_user(world.left, *example("fetch_page"), "wg0.conf", "web.example.test")

    assert done == Result(0, "hello\n\n")


def test_the_engine_works_over_a_socket_of_the_program(world: World) -> None:
    done = attempt_as_user(world.left, *example("ping_by_engine"), "wg0.conf", "10.20.0.2")

    assert done == Result(0, "an answer of 10.20.0.2\n")


def test_a_running_interface_tells_its_peers_and_their_handshakes(world: World) -> None:
    watching = world.right.host.start(*example("watch_handshakes"))
    eventually(lambda: sees_handshake(world, watching), "a handshake is seen", within=60)

    (peer,) = world.right.host.run(*example("list_peers")).splitlines()

    key = watching.log.read_text().split()[0]
    assert re.fullmatch(rf"wg0 {re.escape(key)} 10\.10\.0\.1:\d+ 10\.20\.0\.1/32 fd20::1/128", peer)
    watching.kill()


def sees_handshake(world: World, watching: HostProcess) -> bool:
    """Whether a handshake that is made now, after the one that it begins with, is seen."""
    attempt_as_user(world.left, *example("ping_by_engine"), "wg0.conf", "10.20.0.2")
    return watching.log.read_text() != ""


def forbidding(kind: str) -> tuple[str, ...]:
    """Return what runs a program where there can be no namespace of a kind: a limit of a user namespace."""
    script = f'echo 0 > /proc/sys/user/max_{kind}_namespaces; exec "$@"'
    return "unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"


def example(name: str) -> tuple[str, ...]:
    """Return the command that runs it."""
    return sys.executable, "-W", "error", str(_README.with_name("examples") / f"{name}.py")


def test_connections_of_both_families_and_by_name(world: World) -> None:
    echoed = world.run("""
        import asyncio, wgpy

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                await tunnel.connected()
                for host in ("10.20.0.2", "fd20::2", "web.example.test", "web"):
                    reader, writer = await tunnel.open_connection(host, 7)
                    writer.write(host.encode())
                    writer.write_eof()
                    print((await reader.read()).decode())
                    writer.close()
                    await writer.wait_closed()

        asyncio.run(main())
        """)

    assert echoed.split() == ["10.20.0.2", "fd20::2", "web.example.test", "web"]


def test_names_come_from_the_servers_of_the_tunnel(world: World) -> None:
    found = world.run("""
        import socket, wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            print(sorted({info[4][0] for info in tunnel.getaddrinfo("web.example.test", 80)}))
            print(len(tunnel.getaddrinfo("many.test", 80, type=socket.SOCK_STREAM)))
            print(tunnel.getaddrinfo("localhost", 80, family=socket.AF_INET, type=socket.SOCK_STREAM)[0][4])
            try:
                tunnel.getaddrinfo("nobody.example.test", 80)
            except socket.gaierror as error:
                print(error.errno == socket.EAI_NONAME)
        """)

    assert found.splitlines() == [
        "['10.20.0.2', 'fd20::2']",
        str(MANY_ADDRESSES),
        "('127.0.0.1', 80)",
        "True",
    ]


def test_datagrams(world: World) -> None:
    echoed = world.run("""
        import asyncio, wgpy

        class Receiver(asyncio.DatagramProtocol):
            def __init__(self):
                self.received = asyncio.get_running_loop().create_future()

            def datagram_received(self, data, addr):
                if not self.received.done():
                    self.received.set_result(data)

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                await tunnel.connected()
                for host in ("10.20.0.2", "fd20::2"):
                    endpoint = tunnel.create_datagram_endpoint(Receiver, remote_addr=(host, 7))
                    transport, receiver = await endpoint
                    transport.sendto(host.encode())
                    print((await receiver.received).decode())
                    transport.close()

        asyncio.run(main())
        """)

    assert echoed.split() == ["10.20.0.2", "fd20::2"]


def test_the_other_peer_reaches_a_server_inside(world: World) -> None:
    serving = world.start("""
        import asyncio, wgpy

        async def greet(reader, writer):
            writer.write(b"inside")
            writer.close()

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                async with await tunnel.start_server(greet, None, 80):
                    await tunnel.connected()
                    print("ready")
                    await asyncio.Event().wait()

        asyncio.run(main())
        """)

    for address in ("10.20.0.1", "fd20::1"):
        assert world.right.host.run("nc", "-d", "-w", "30", address, "80") == "inside"
    serving.kill(signal.SIGINT)
    serving.wait()
    assert world.processes() == []


def test_a_thousand_connections_at_once(world: World) -> None:
    echoed = world.run("""
        import asyncio, resource, wgpy

        async def one(tunnel, all_open):
            reader, writer = await tunnel.open_connection("10.20.0.2", 7)
            await all_open.wait()
            writer.write(b"x" * 100)
            await reader.readexactly(100)
            writer.close()
            await writer.wait_closed()

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                await tunnel.connected()
                all_open = asyncio.Barrier(1000)
                await asyncio.gather(*(one(tunnel, all_open) for _ in range(1000)))
                print("all")

        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        asyncio.run(main())
        """)

    assert echoed == "all\n"


def test_without_asyncio(world: World) -> None:
    said = world.run("""
        import socket, threading, wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            kinds = (type(event.event).__name__ for event in tunnel.events())
            reading = threading.Thread(target=lambda: print("HandshakeCompleted" in kinds))
            reading.start()
            tunnel.connected(timeout=60)
            reading.join()
            with tunnel.create_connection(("web.example.test", 7), timeout=60) as connection:
                connection.sendall(b"hello")
                print(connection.recv(5).decode())
            with tunnel.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams:
                datagrams.settimeout(60)
                datagrams.sendto(b"datagram", ("fd20::2", 7))
                print(datagrams.recv(100).decode())
            (peer,) = tunnel.status().peers
            print(peer.tx_bytes > 0 and peer.last_handshake_time > 0)
        """)

    assert said.split() == ["True", "hello", "datagram", "True"]


def test_nothing_of_the_host_changes(world: World) -> None:
    before = world.left.run("sh", "-c", "ip address; ip route show table all; ip rule")

    running = world.start("""
        import time, wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            tunnel.connected()
            print("ready")
            time.sleep(1000)
        """)

    assert world.left.run("sh", "-c", "ip address; ip route show table all; ip rule") == before
    running.kill(signal.SIGKILL)
    running.wait()
    eventually(lambda: world.processes() == [], "nothing is left", within=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGABRT, signal.SIGKILL])
def test_whatever_ends_its_program_nothing_is_left(world: World, number: signal.Signals) -> None:
    before = world.left.run("find", "/run", "-xdev")
    running = world.start("""
        import socket, time, wgpy

        with wgpy.Tunnel("wg0.conf") as tunnel:
            listening = tunnel.socket(socket.AF_INET, socket.SOCK_STREAM)
            listening.listen()
            print("ready")
            time.sleep(1000)
        """)
    (inside,) = world.processes()
    namespaces = {Path(f"/proc/{inside}/ns/{kind}").readlink() for kind in ("net", "user")}

    running.kill(number)

    assert running.wait().status != 0
    eventually(lambda: not namespaces & namespaces_in_use(), "its namespaces have ended", within=60)
    assert world.processes() == []
    assert world.left.run("find", "/run", "-xdev") == before


def namespaces_in_use() -> set[Path]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/*"):
        with suppress(OSError):  # gone in the meantime
            found.add(path.readlink())
    return found


def test_tunnels_that_were_closed_leave_nothing_in_their_program(world: World) -> None:
    said = world.run("""
        import asyncio, gc, os, subprocess, threading, wgpy

        async def fetch():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                reader, writer = await tunnel.open_connection("10.20.0.2", 7)
                writer.close()
                await writer.wait_closed()

        def use():
            asyncio.run(fetch())
            with wgpy.Tunnel("wg0.conf") as tunnel:
                tunnel.create_connection(("10.20.0.2", 7)).close()

        def count():
            children = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True).stdout.split()
            return len(os.listdir("/proc/self/fd")), threading.active_count(), len(children)

        gc.disable()  # what is left until its next turn is left
        use()  # from now on libraries are loaded
        print(*count())
        for _ in range(5):
            use()
        print(*count())
        """)

    first, last = said.splitlines()
    assert last == first


def test_a_tunnel_whose_process_is_killed_ends(world: World) -> None:
    running = world.start("""
        import asyncio, wgpy

        async def main():
            async with wgpy.Tunnel("wg0.conf") as tunnel:
                print("ready")
                await tunnel.wait_closed()
                try:
                    tunnel.socket()
                except wgpy.TunnelError as error:
                    print(error)

        asyncio.run(main())
        """)
    (inside,) = world.processes()

    world.left.run("kill", "-KILL", world.left.run("pgrep", "-f", "wgpy.tunnel.inside").strip())

    assert inside
    done = running.wait()
    assert (done.status, done.output.splitlines()[1:]) == (
        0,
        ["the tunnel's network has ended: open a tunnel anew"],
    )


def test_a_late_answer_of_the_process_inside_is_taken_for_no_other(world: World) -> None:
    said = world.run("""
        import os, signal, socket, subprocess
        import wgpy
        from wgpy.tunnel import namespace

        with wgpy.Tunnel("wg0.conf") as tunnel:
            mine = ["pgrep", "-P", str(os.getpid()), "-f", "wgpy.tunnel.inside"]
            found = subprocess.run(mine, capture_output=True)
            inside = int(found.stdout)
            namespace.ANSWER_TIMEOUT = 0.1
            os.kill(inside, signal.SIGSTOP)
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                try:
                    print(tunnel.socket(socket.AF_INET, kind))
                except wgpy.TunnelError as error:
                    print(error)
                namespace.ANSWER_TIMEOUT = 60
                os.kill(inside, signal.SIGCONT)
        """)

    assert said.splitlines() == [
        "the tunnel's network does not answer: timed out",
        "the tunnel's network has ended: open a tunnel anew",
    ]


def test_a_tunnel_ends_though_a_thread_waits_for_the_process_inside(world: World) -> None:
    said = world.run("""
        import os, signal, socket, subprocess, threading, time
        import wgpy

        def ask():
            try:
                tunnel.socket(socket.AF_INET, socket.SOCK_STREAM)
            except wgpy.TunnelError as error:
                print(error)

        with wgpy.Tunnel("wg0.conf") as tunnel:
            mine = ["pgrep", "-P", str(os.getpid()), "-f", "wgpy.tunnel.inside"]
            inside = int(subprocess.run(mine, capture_output=True).stdout)
            os.kill(inside, signal.SIGSTOP)
            asking = threading.Thread(target=ask)
            asking.start()
            time.sleep(0.5)  # it waits by now
        asking.join()
        """)

    assert said == "the tunnel's network has ended: open a tunnel anew\n"


def test_a_change_of_the_network_has_the_names_of_endpoints_looked_up_again(world: World) -> None:
    hosts = world.left.write("/run/user/hosts", "10.10.0.99 vpn.test\n")
    world.left.run("chmod", "644", hosts)
    world.left.run("mount", "--bind", hosts, "/etc/hosts")
    connecting = world.start("""
        import pathlib, wgpy

        text = pathlib.Path("wg0.conf").read_text().replace("10.10.0.2:", "vpn.test:")
        with wgpy.Tunnel(text) as tunnel:
            print(tunnel.status().peers[0].endpoint)
            tunnel.connected()
            print(tunnel.status().peers[0].endpoint)
        """)

    world.left.path("/run/user/hosts").write_text("10.10.0.2 vpn.test\n")
    world.left.run("ip", "address", "add", "10.10.0.3/24", "dev", "eth0")

    done = connecting.wait()
    world.left.run("umount", "/etc/hosts")
    assert done == Result(0, "10.10.0.99:51820\n10.10.0.2:51820\n")


def test_a_peer_that_does_not_answer_is_waited_for_no_longer_than_is_said(world: World) -> None:
    said = world.run("""
        import pathlib, wgpy

        text = pathlib.Path("wg0.conf").read_text().replace(":51820", ":9")
        with wgpy.Tunnel(text) as tunnel:
            try:
                tunnel.connected(timeout=0.5)
            except TimeoutError:
                print("in time")
        """)

    assert said == "in time\n"


@pytest.mark.parametrize("kind", ["user", "net"])
def test_where_namespaces_are_forbidden_the_error_names_the_setting(world: World, kind: str) -> None:
    without = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--")

    done = attempt_as_user(world.left, *forbidding(kind), *without, sys.executable, "-c", _OPENS)

    assert f"user.max_{kind}_namespaces is 0" in done.output.splitlines()[-1]


def test_where_a_seccomp_profile_forbids_them_the_error_says_how_to_start_the_container(world: World) -> None:
    done = attempt_as_user(world.left, sys.executable, *_FILTERED, sys.executable, "-c", _OPENS)

    assert "--security-opt seccomp=unconfined" in done.output.splitlines()[-1]


@pytest.mark.parametrize("forbidden", [False, True], ids=["namespaces", "seccomp"])
def test_where_namespaces_alone_are_forbidden_the_engine_works(world: World, forbidden: bool) -> None:
    limits = (sys.executable, *_FILTERED) if forbidden else forbidding("user")

    done = attempt_as_user(world.left, *limits, *example("ping_by_engine"), "wg0.conf", "10.20.0.2")

    assert done == Result(0, "an answer of 10.20.0.2\n")


def test_where_there_is_no_tun_the_error_says_where_it_comes_from(world: World) -> None:
    done = world.left.attempt(
        "unshare", "--mount", "sh", "-c",
        'mount -t tmpfs -o mode=755 tmpfs /dev/net; cd /run/user; exec "$@"', "sh",
        *AS_USER, sys.executable, "-c", _OPENS,
    )  # fmt: skip

    assert "`modprobe tun`" in done.output.splitlines()[-1]
    assert "`--device /dev/net/tun`" in done.output.splitlines()[-1]


def test_where_the_tun_is_closed_the_error_says_how_to_open_it(world: World) -> None:
    done = world.left.attempt(
        "unshare", "--mount", "sh", "-c",
        'chmod 600 /dev/net/tun; cd /run/user; "$@"; chmod 666 /dev/net/tun', "sh",
        *AS_USER, sys.executable, "-c", _OPENS,
    )  # fmt: skip

    assert "`chmod 666 /dev/net/tun`" in done.output.splitlines()[-1]


def test_root_needs_no_user_namespace(world: World) -> None:
    program = dedent("""
        import wgpy

        with wgpy.Tunnel("/run/wg0.conf") as tunnel:
            tunnel.connected()
            with tunnel.create_connection(("10.20.0.2", 7)) as connection:
                connection.sendall(b"root")
                print(connection.recv(4).decode())
        """)

    world.left.run("cp", "/run/user/wg0.conf", "/run/wg0.conf")
    echoed = world.left.run(*forbidding("user"), sys.executable, "-c", program)

    assert echoed == "root\n"
