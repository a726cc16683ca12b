"""A daemon gives way to one of another version, as it was built then: a stream through the tunnel goes on.

left wg0 ==== wg0 right: the left one is replaced
"""

import signal
from collections.abc import Callable

import pytest

from tests.integration.hosts import HostProcess, Lab, eventually
from tests.integration.olderversion import build_older_version
from tests.integration.ongoing import transfer
from tests.integration.peers import Peer, Userspace
from tests.integration.topologies import Pair

NO_INITIATIONS = """
table inet silent {
    chain input {
        type filter hook input priority 0
        udp length 156 counter drop
    }
}
"""

pytestmark = [pytest.mark.xdist_group("mesh_versions"), pytest.mark.slow]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_older_version(tmp_path_factory.mktemp("older")) / "wgpyd")


def next_daemon(peer: Peer, program: str) -> HostProcess:
    """Start one that is to take over."""
    return peer.host.start(program, "-f", "--replace", peer.interface)


@pytest.mark.parametrize("direction", ["newer", "older"])
def test_a_stream_goes_on_while_another_version_takes_over(
    lab: Lab, program: str, older: str, direction: str
) -> None:
    first, second = (older, program) if direction == "newer" else (program, older)
    pair, finishing = streaming(lab, first, program)
    former = pair.left.process
    assert former

    following = next_daemon(pair.left, second)

    assert former.wait(60).status == 0
    finishing()
    assert following.is_running()


def test_a_daemon_goes_on_if_an_older_version_ends_before_it_has_taken_over(
    lab: Lab, program: str, older: str
) -> None:
    pair, finishing = streaming(lab, program, program)
    serving, right = pair.left.process, pair.right.host
    assert serving
    # So it waits for 6 s for a session, when it has changed the header of packets.
    right.run("nft", "-f", right.write("/run/silent.nft", NO_INITIATIONS))

    following = next_daemon(pair.left, older)
    eventually(
        lambda: "packets 0" not in right.run("nft", "list", "table", "inet", "silent"), "it begins one"
    )
    following.kill(signal.SIGKILL)
    following.wait(10)
    right.run("nft", "delete", "table", "inet", "silent")

    finishing()
    assert serving.is_running()


def streaming(lab: Lab, left: str, right: str) -> tuple[Pair, Callable[[], None]]:
    """Two peers of these programs, and a stream from left to right; what is returned sees that it goes on."""
    pair = Pair.build(lab, Userspace(left), Userspace(right))
    pair.introduce()
    return pair, transfer(pair.left.host, pair.right.host, pair.right.addresses[0])
