"""`wgpy exec --mesh`: a program of an ordinary user of a node that reaches the mesh and nothing else.

hub, a node                                 web, a node, where the user is
br0  10.10.0.1/24  ───────────────────────  eth0 10.10.0.2/24
mesh0: echoes, a page                       mesh0; a page of this host
"""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hosts import Host, Lab, Result, eventually
from tests.integration.meshlab import Node, program
from tests.integration.meshlan import Lan
from tests.integration.ordinaryuser import AS_USER, admit, attempt_as_user, start_as_user

pytestmark = pytest.mark.xdist_group("exec_mesh")

_EXEC = (program("wgpy"), "exec", "--mesh", "lab", "--")
_BULK = 50_000_000  # bytes
_SLEEP = f"sleep 900.{os.getpid()}"  # seconds, and of no other test
_SERVER = """
    import socketserver, sys, threading

    class Echo(socketserver.StreamRequestHandler):
        def handle(self):
            if self.request.getsockname()[1] == 80:
                self.rfile.readline()
                self.wfile.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nhello " + self.client_address[0].encode())
                return
            while data := self.request.recv(1 << 20):
                self.request.sendall(data)

    class Datagrams(socketserver.BaseRequestHandler):
        def handle(self):
            data, answering = self.request
            answering.sendto(data + b" of " + self.client_address[0].encode(), self.client_address)

    def serve(kind, handler, address, port):
        values = {"address_family": 10 if ":" in address else 2, "request_queue_size": 512}
        made = type("Server", (kind,), values)
        threading.Thread(target=made((address, port), handler).serve_forever).start()

    for address in sys.argv[1:]:
        serve(socketserver.ThreadingTCPServer, Echo, address, 7)
        serve(socketserver.ThreadingTCPServer, Echo, address, 80)
        serve(socketserver.ThreadingUDPServer, Datagrams, address, 7)
    print("ready", flush=True)
    """


@dataclass
class World:
    hub: Node
    web: Node

    def attempt(self, *command: str) -> Result:
        return attempt_as_user(self.web.host, *_EXEC, *command)

    def run(self, *command: str) -> str:
        done = self.attempt(*command)
        assert done.status == 0, done.output
        return done.output

    def python(self, text: str) -> str:
        return self.run(sys.executable, "-c", dedent(text))


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    lan = Lan(module_lab)
    hub = lan.add("hub")
    lan.init()
    web = lan.joined("web")
    if web.host.attempt(*AS_USER, "unshare", "--user", "--map-root-user", "--net", "true").status:
        pytest.skip("this host forbids user namespaces: see the error of `wgpy exec`")
    admit(web.host)
    web.host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 65534")
    serve(hub.host, hub.address(), hub.address(6), hub.inside)
    serve(web.host, web.address(), web.address(6), web.inside)
    return World(hub, web)


def serve(host: Host, *addresses: str) -> None:
    serving = host.start(sys.executable, "-c", dedent(_SERVER), *addresses)
    eventually(lambda: "ready" in serving.log.read_text(), "it serves", within=60)


def test_names_of_the_mesh_lead_to_its_nodes_as_from_this_node(world: World) -> None:
    assert world.run("curl", "-s", "-4", "http://hub/") == f"hello {world.web.address()}"
    assert world.run("curl", "-s", "-6", "http://hub.lab.mesh/") == f"hello {world.web.address(6)}"


def test_the_nodes_own_address_leads_to_this_host(world: World) -> None:
    assert world.run("curl", "-s", "-4", "http://web/") == f"hello {world.web.address()}"


def test_no_other_network_is_reached(world: World) -> None:
    for address in (world.hub.inside, world.web.inside):
        done = world.attempt("curl", "-s", "--max-time", "20", f"http://{address}/")

        assert done.status == 7, done.output  # could not connect, and no time-out
    assert world.attempt("curl", "-s", "http://127.0.0.1/").status == 7


def test_what_is_refused_is_refused_and_what_leads_nowhere_has_no_route(world: World) -> None:
    assert world.python(f"""
        import socket
        for address in {world.hub.address()!r}, {world.hub.address(6)!r}, "192.0.2.1":
            try:
                socket.create_connection((address, 9), timeout=60)
            except OSError as error:
                print(error.strerror)
        """).splitlines() == ["Connection refused", "Connection refused", "No route to host"]


def test_datagrams_and_pings_of_both_families(world: World) -> None:
    for family in (4, 6):
        address = world.hub.address(family)
        assert (
            world.python(f"""
            import socket
            sending = socket.socket({10 if family == 6 else 2}, socket.SOCK_DGRAM)
            sending.settimeout(60)
            for size in 4, 3000:
                sending.sendto(b"a" * size, ({address!r}, 7))
                data, source = sending.recvfrom(9000)
                print(data[size:].decode(), source[:2])
            """)
            == 2 * f" of {world.web.address(family)} ('{address}', 7)\n"
        )
        assert " 2 received" in world.run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "30", address)


def test_a_datagram_that_nobody_listens_for_is_refused(world: World) -> None:
    for family in (4, 6):
        assert (
            world.python(f"""
            import socket
            sending = socket.socket({10 if family == 6 else 2}, socket.SOCK_DGRAM)
            sending.settimeout(60)
            sending.connect(({world.hub.address(family)!r}, 9))
            sending.send(b"x")
            try:
                sending.recv(1)
            except ConnectionRefusedError:
                print("refused")
            """)
            == "refused\n"
        )


def test_who_closes_his_direction_still_gets_all_of_the_answer(world: World) -> None:
    assert (
        world.python(f"""
        import socket, threading
        with socket.create_connection(("hub", 7), timeout=60) as connected:
            def send():
                connected.sendall(bytes({_BULK}))
                connected.shutdown(socket.SHUT_WR)
            threading.Thread(target=send).start()
            print(sum(len(data) for data in iter(lambda: connected.recv(1 << 20), b"")))
        """)
        == f"{_BULK}\n"
    )


def test_hundreds_of_connections_at_once(world: World) -> None:
    assert (
        world.python("""
        import socket
        opened = [socket.create_connection(("hub", 7), timeout=60) for _ in range(300)]
        for number, each in enumerate(opened):
            each.sendall(b"%d" % number)
        print(all(each.recv(9) == b"%d" % number for number, each in enumerate(opened)))
        """)
        == "True\n"
    )


def test_root_needs_no_user_namespace(world: World) -> None:
    done = world.web.host.attempt(*_EXEC, "curl", "-s", "http://hub/")

    assert done.output.startswith("hello ")


def test_the_exit_status_is_the_programs_and_nothing_of_the_host_changes(world: World) -> None:
    before = [
        world.web.host.run(*show) for show in (("ip", "address"), ("ip", "route"), ("nft", "list", "ruleset"))
    ]

    assert world.attempt("sh", "-c", "exit 3") == Result(3, "")

    assert before == [
        world.web.host.run(*show) for show in (("ip", "address"), ("ip", "route"), ("nft", "list", "ruleset"))
    ]


def test_signals_are_passed_on_and_nothing_is_left_when_it_is_killed(world: World) -> None:
    waits = f"trap 'exit 7' TERM; echo ready; {_SLEEP} & wait"
    started = start_as_user(world.web.host, *_EXEC, "sh", "-c", waits)
    eventually(lambda: "ready" in started.log.read_text(), "it runs", within=60)
    started.kill(signal.SIGTERM)
    assert started.wait().status == 7

    again = start_as_user(world.web.host, *_EXEC, "sh", "-c", f"echo ready; {_SLEEP}")
    eventually(lambda: "ready" in again.log.read_text(), "it runs", within=60)
    assert sleeps()
    again.kill(signal.SIGKILL)

    eventually(lambda: not sleeps(), "the program has ended", within=60)
    eventually(lambda: not world.web.host.processes("wgpy.tunnel.inside"), "nothing is left", within=60)


def sleeps() -> bool:
    """Whether a process of the test does, which is in namespaces of its own."""
    wanted = "\0".join([*_SLEEP.split(), ""])
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # gone in the meantime
            if path.read_text() == wanted:
                return True
    return False


def test_a_network_without_a_node_here_is_named_and_those_that_are_here(world: World) -> None:
    done = attempt_as_user(world.web.host, program("wgpy"), "exec", "--mesh", "other", "--", "true")

    assert done.status == 1
    assert "this host is no node of other at present, but of lab" in done.output
