"""`wgpy proxy`: programs that know nothing of the tunnel use it: see `tunnelworld`."""

import re
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hosts import Host, Lab, eventually
from tests.integration.ordinaryuser import attempt_as_user, start_as_user, write_for_user
from tests.integration.peers import Implementation
from tests.integration.tunnelworld import World

pytestmark = pytest.mark.xdist_group("proxy")

_WGPY = str(Path(sys.executable).with_name("wgpy"))
# Where Debian has Node's libraries, and where npm has its own.
_NODE_MODULES = [
    folder
    for folder in ("/usr/share/nodejs", "/usr/lib/node_modules/npm/node_modules")
    if shutil.which("node") and Path(folder, "socks").is_dir()
]
_GET = r"printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 60 -N "


@dataclass
class Proxy:
    """ports: of the listeners on the left, by socks5, http and forward."""

    left: Host
    right: Host
    ports: dict[str, str]

    def python(self, program: str) -> str:
        return self.left.run(sys.executable, "-c", dedent(program), self.ports["socks5"], self.ports["http"])


@pytest.fixture(scope="module")
def proxy(module_lab: Lab, daemon: Implementation) -> Proxy:
    world = World.build(module_lab, daemon)
    options = (
        "--socks5", "127.0.0.1:0", "--http", "127.0.0.1:0",
        "--forward", "127.0.0.1:8080=web.example.test:80", "--forward", "127.0.0.1:7007=10.20.0.2:7",
        "--expose", "10.20.0.1:80=127.0.0.1:8080", "--metrics", "127.0.0.1:9100",
        "--forward", "udp:127.0.0.1:7007=10.20.0.2:7", "--expose", "udp:10.20.0.1:7=127.0.0.1:7007",
    )  # fmt: skip
    serving = start_as_user(world.left, _WGPY, "proxy", "./wg0.conf", *options)
    eventually(lambda: "expose udp" in serving.log.read_text(), "it serves", within=60)
    socks5, http = re.findall(r"://127\.0\.0\.1:(\d+)", serving.log.read_text())
    return Proxy(world.left, world.right.host, {"socks5": socks5, "http": http})


@pytest.mark.parametrize("host", ["web.example.test", "10.20.0.2", "fd20::2"])
def test_a_client_of_socks5_connects(proxy: Proxy, host: str) -> None:
    echoed = proxy.python(f"""
        import socks, sys

        connecting = socks.socksocket()
        connecting.set_proxy(socks.SOCKS5, "127.0.0.1", int(sys.argv[1]), rdns=True)
        connecting.connect(("{host}", 7))
        connecting.sendall(b"hello")
        print(connecting.recv(5).decode())
        """)

    assert echoed == "hello\n"


@pytest.mark.parametrize("host", ["web.example.test", "10.20.0.2", "fd20::2"])
def test_nodes_client_of_socks5_connects(proxy: Proxy, host: str) -> None:
    if not _NODE_MODULES:
        pytest.skip("Node or its library `socks` is not here: npm has it, or apt-get install node-socks")
    program = f"""
        const {{SocksClient}} = require("socks");
        SocksClient.createConnection({{
            proxy: {{host: "127.0.0.1", port: Number(process.argv[1]), type: 5}},
            command: "connect", destination: {{host: "{host}", port: 7}},
        }}).then(({{socket}}) => {{
            socket.on("data", data => {{ console.log(String(data)); socket.destroy(); }});
            socket.write("hello");
        }});
        """

    echoed = proxy.left.run(
        "env", f"NODE_PATH={_NODE_MODULES[0]}", "node", "-e", program, proxy.ports["socks5"]
    )

    assert echoed == "hello\n"


def test_a_client_of_socks5_sends_datagrams(proxy: Proxy) -> None:
    echoed = proxy.python("""
        import socket, socks, sys

        sending = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
        sending.set_proxy(socks.SOCKS5, "127.0.0.1", int(sys.argv[1]), rdns=True)
        sending.settimeout(60)
        for host in ("web.example.test", "10.20.0.2"):
            sending.sendto(host.encode(), (host, 7))
            print(sending.recvfrom(100)[0].decode())
        """)

    assert echoed.split() == ["web.example.test", "10.20.0.2"]


@pytest.mark.parametrize(
    ("host", "port", "reply"),
    [("10.20.0.2", 9, 5), ("nobody.example.test", 80, 4), ("192.0.2.1", 80, 3)],
    ids=["refused", "no such host", "no route"],
)
def test_the_reply_tells_why_there_is_no_connection(proxy: Proxy, host: str, port: int, reply: int) -> None:
    said = proxy.python(f"""
        import socket, sys

        client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        client.sendall(bytes((5, 1, 0)))
        assert client.recv(2) == bytes((5, 0))
        name = b"{host}"
        client.sendall(bytes((5, 1, 0, 3, len(name))) + name + ({port}).to_bytes(2, "big"))
        print(client.recv(100)[1])
        """)

    assert said == f"{reply}\n"


def test_clients_of_an_http_proxy_fetch_a_page_and_are_told_what_fails(proxy: Proxy) -> None:
    said = proxy.python("""
        import sys, urllib3

        manager = urllib3.ProxyManager(f"http://127.0.0.1:{sys.argv[2]}")
        page = manager.request("GET", "http://web.example.test/", timeout=60)
        print(page.status, page.data.decode().strip())
        missing = manager.request("GET", "http://nobody.example.test/", timeout=60)
        print(missing.status, missing.data.decode().strip())
        """)

    assert said.splitlines() == ["200 hello", "502 wgpy: no such host."]


def test_connect_of_an_http_proxy_leads_anywhere(proxy: Proxy) -> None:
    said = proxy.python("""
        import http.client, sys

        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]), timeout=60)
        connection.set_tunnel("fd20::2", 80)
        connection.request("GET", "/")
        print(connection.getresponse().read().decode())
        """)

    assert said == "hello\n\n"


def test_who_closes_his_direction_still_gets_the_answer(proxy: Proxy) -> None:
    assert proxy.left.run("sh", "-c", "printf hello | nc -w 60 -N 127.0.0.1 7007") == "hello"


def test_the_other_peer_reaches_what_is_exposed(proxy: Proxy) -> None:
    # By a port of the left, which leads back into the tunnel, to the right's page.
    assert proxy.right.run("sh", "-c", f"{_GET} 10.20.0.1 80").endswith("hello\n")


def test_datagrams_lead_into_the_tunnel_and_out_of_it(proxy: Proxy) -> None:
    program = """
        import socket, sys

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.settimeout(60)
            sending.sendto(b"datagram", (sys.argv[1], int(sys.argv[2])))
            print(sending.recv(100).decode())
        """
    command = sys.executable, "-c", dedent(program)

    assert proxy.left.run(*command, "127.0.0.1", "7007") == "datagram\n"
    # By a port of the left, which leads back into the tunnel, to the right's echo.
    assert proxy.right.run(*command, "10.20.0.1", "7") == "datagram\n"


def test_metrics_and_health_are_served(proxy: Proxy) -> None:
    said = proxy.python("""
        import urllib3

        urllib3.request("GET", "http://127.0.0.1:8080/", timeout=60)
        for page in ("health", "metrics", "none"):
            answer = urllib3.request("GET", f"http://127.0.0.1:9100/{page}", timeout=60, retries=False)
            print(answer.status, answer.data.decode())
        """)

    assert "200 ok\n" in said
    assert 'wgpy_proxy_connections_total{listener="forward"}' in said
    assert 'wgpy_peer_received_bytes_total{key="' in said
    assert "404 wgpy: there are /metrics and /health." in said


def test_a_listener_that_cannot_be_is_named_and_nothing_is_left(proxy: Proxy) -> None:
    lead = "127.0.0.1:8080=10.20.0.2:80"

    done = attempt_as_user(proxy.left, _WGPY, "proxy", "./wg0.conf", "--forward", lead)

    assert done.status == 1
    assert "wgpy: forward 127.0.0.1:8080 cannot be listened on: " in done.output


def test_with_an_account_only_its_password_is_served_until_it_is_told_to_end(proxy: Proxy) -> None:
    write_for_user(proxy.left, "account", "alice:secret\n")
    options = ("--account", "account", "--socks5", "127.0.0.1:1080", "--http", "127.0.0.1:3128")
    ending = start_as_user(proxy.left, _WGPY, "proxy", "./wg0.conf", *options)
    eventually(lambda: "http://" in ending.log.read_text(), "it serves", within=60)

    said = proxy.python("""
        import socks, urllib3

        for name, password in (("alice", "secret"), ("alice", "guess"), (None, None)):
            connecting = socks.socksocket()
            connecting.set_proxy(socks.SOCKS5, "127.0.0.1", 1080, True, name, password)
            try:
                connecting.connect(("10.20.0.2", 80))
                print("admitted")
            except socks.ProxyError:
                print("refused")
            headers = urllib3.make_headers(proxy_basic_auth=f"{name}:{password}")
            manager = urllib3.ProxyManager("http://127.0.0.1:3128", proxy_headers=headers)
            print(manager.request("GET", "http://10.20.0.2/", timeout=60).status)
        """)
    ending.kill(signal.SIGTERM)

    assert said.split() == ["admitted", "200", "refused", "407", "refused", "407"]
    assert ending.wait().status == 0
    assert len(proxy.left.processes("wgpy.tunnel.inside")) == 1  # of the proxy that still serves
