"""What others send must not matter: to the configuration socket, and from the network.

The session of topologies.Pair goes on meanwhile, or goes on afterwards. Nothing here asserts a time; times
are printed (pytest -s).
"""

import os
import random
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.integration.hosts import eventually
from tests.integration.peers import PORT, Peer
from tests.integration.topologies import Pair

_GET = b"get=1\n\n"
_DONE = b"errno=0\n\n"
_MEMORY_LIMIT = 96 * 2**20  # bytes, whatever is done to the daemon
_TOOL = str(Path(__file__).with_name("hostile.py"))


@contextmanager
def _connection(peer: Peer) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(str(peer.host.path("/run/wireguard/wg0.sock")))
        yield connection


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"\n\n") and (data := connection.recv(65536)):
        answer += data
    return answer


def _ask(peer: Peer, request: bytes) -> bytes:
    with _connection(peer) as connection:
        connection.sendall(request)
        return _answer(connection)


def _peak_memory(peer: Peer) -> int:
    """The most memory the daemon ever had, in bytes."""
    assert peer.process is not None
    lines = Path(f"/proc/{peer.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


# -- The configuration socket ----------------------------------------------------------------------


def test_a_thousand_silent_connections_hold_nobody_up(pair: Pair) -> None:
    with ExitStack() as connections:
        for number in range(1000):
            connection = connections.enter_context(_connection(pair.left))
            connection.sendall((b"", b"g", b"set=1\n", b"set=1\nlisten_port=")[number % 4])

        assert _ask(pair.left, _GET).endswith(_DONE)
        assert pair.left.show("listen-port") == [[str(PORT)]]
        pair.left.ping(pair.right)


def test_a_line_of_ten_megabytes_is_refused_and_not_kept(pair: Pair) -> None:
    with _connection(pair.left) as connection:
        connection.sendall(b"set=1\npublic_key=")
        with suppress(BrokenPipeError, ConnectionResetError):  # it need not wait for the rest
            for _ in range(10):
                connection.sendall(b"a" * 2**20)

    assert _ask(pair.left, _GET).endswith(_DONE)
    assert _peak_memory(pair.left) < _MEMORY_LIMIT


def test_a_request_that_never_ends_is_refused_in_the_end(pair: Pair) -> None:
    lines = b"allowed_ip=10.0.0.0/8\n" * 10_000
    with _connection(pair.left) as connection:
        connection.sendall(b"set=1\npublic_key=" + b"a" * 64 + b"\n")
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                connection.sendall(lines)

    assert pair.left.show("allowed-ips")[0][0] == pair.right.public_key
    pair.left.ping(pair.right)


def test_noise_on_the_configuration_socket_changes_nothing(pair: Pair, seed: int) -> None:
    source = random.Random(seed)
    pieces = [
        b"set=1\n",
        b"get=1\n",
        b"\n",
        b"\n\n",
        b"=",
        b"\0",
        b"private_key=",
        b"allowed_ip=",
        b"remove=true\n",
    ]
    before = pair.left.show("dump")[0]

    for _ in range(200):
        noise = b"".join(source.choice([*pieces, source.randbytes(8)]) for _ in range(source.randrange(20)))
        with _connection(pair.left) as connection:
            connection.sendall(noise)

    assert _ask(pair.left, _GET).endswith(_DONE)
    assert pair.left.show("dump")[0] == before
    pair.left.ping(pair.right)


def test_large_configurations_let_the_session_flow(pair: Pair) -> None:
    """130,560 allowed IPs on one peer, and 40 peers with 52 each."""
    prefixes = [f"172.{16 + n // 65536}.{n // 256 % 256}.{n % 256}/32" for n in range(65_280)]
    prefixes += [f"fd77::{n // 65536:x}:{n % 65536:x}/128" for n in range(65_280)]
    one = f"public_key={os.urandom(32).hex()}\n" + "".join(f"allowed_ip={prefix}\n" for prefix in prefixes)
    many = "".join(
        f"public_key={os.urandom(32).hex()}\n"
        + "".join(f"allowed_ip=172.31.{peer}.{number}/32\n" for number in range(52))
        for peer in range(40)
    )
    flowing = pair.left.host.start(
        "ping", "-n", "-i", "0.05", "-c", "60", "-W", "10", pair.right.addresses[0]
    )

    for what, settings in (("130,560 allowed IPs", one), ("40 peers with 52", many)):
        begin = time.monotonic()
        assert _ask(pair.left, f"set=1\n{settings}\n".encode()) == _DONE
        print(f"{what}: {time.monotonic() - begin:.2f} s")

    assert len(pair.left.show("peers")) == 42
    result = flowing.wait(60)
    assert " 0% packet loss" in result.output
    print(result.output.splitlines()[-1])


# -- The network -----------------------------------------------------------------------------------


def test_junk_datagrams_do_not_disturb_a_session(pair: Pair, seed: int) -> None:
    pair.right.host.run(sys.executable, _TOOL, "junk", "10.10.0.1", str(PORT), str(seed), timeout=60)

    pair.left.ping(pair.right)
    eventually(pair.counters_agree, "nothing of it was counted as the peer's")


def test_replayed_datagrams_are_worth_nothing(pair: Pair) -> None:
    """What was heard on the wire is sent again, twice, from another port of the same host."""
    host = pair.right.host
    replay = host.start(sys.executable, _TOOL, "replay", "10.10.0.1", str(PORT), "20")
    eventually(lambda: "listening" in replay.log.read_text(), "somebody listens on the wire")
    eventually(lambda: pair.right.reaches(pair.left) and not replay.is_running(), "20 datagrams replayed", 30)
    assert replay.wait().status == 0

    pair.right.ping(pair.left)
    assert pair.left.traffic(pair.right).endpoint == f"10.10.0.2:{PORT}"
    eventually(pair.counters_agree, "no replay was counted")


def test_a_flood_of_handshakes_leaves_the_session_alone(pair: Pair, seed: int) -> None:
    """Initiations with a valid mac1, as anybody can make who knows the public key."""
    host = pair.right.host
    command = [sys.executable, _TOOL, "flood", "10.10.0.1", str(PORT), str(seed), pair.left.public_key]
    flood = host.start(*command)
    eventually(lambda: "flooding" in flood.log.read_text(), "the flood begins")

    pair.left.ping(pair.right)

    flood.wait(60)
    pair.left.ping(pair.right)
