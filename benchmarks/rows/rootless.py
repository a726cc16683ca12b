"""What a tunnel without root carries, beside the same tunnel with root.

left eth0 -------- veth -------- eth0 right      wgbench0 of the left host is wgpyd's; the tunnel without root
 wgbench0 ======== tunnel ====== wgbench0        is an ordinary user's, by `wgpy exec`, with keys of its own
"""

from dataclasses import dataclass
from typing import Final

from benchmarks.suite.namespaces import INSIDE, INTERFACE, OUTSIDE, PORT, tunnel_of_two
from benchmarks.suite.readings import read_iperf3
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, serving, stream, stream_client
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host
from tests.integration.meshlab import program
from tests.integration.ordinaryuser import admit, attempt_as_user, write_for_user
from tests.integration.peers import key_pair

_ROOTLESS: Final = "198.18.0.3"  # its address
_CONFIG: Final = """\
[Interface]
PrivateKey = {private}
Address = {inside}/24

[Peer]
PublicKey = {public}
AllowedIPs = {allowed}/32
Endpoint = {outside}:{port}
"""


@dataclass(frozen=True, slots=True)
class Both:
    """Two tunnels of a host to one peer."""

    turn: Turn
    left: Host
    right: Host

    def gigabits(self, seconds: float, *options: str, rootless: bool) -> float:
        """Raises MeasureFailed."""
        if not rootless:
            return stream(self.left, self.right, INSIDE[1], seconds, *options).gigabits
        command = (program("wgpy"), "exec", "./wg0.conf", "--", *stream_client(INSIDE[1], seconds), *options)
        with serving(self.right):
            done = attempt_as_user(self.left, *command)
        return read_iperf3(done.output).gigabits


def _both(turn: Turn) -> Both:
    left, right, _ = tunnel_of_two(turn)
    private, public = key_pair()
    right.run("wg", "set", INTERFACE, "peer", public, "allowed-ips", _ROOTLESS)
    key = right.run("wg", "show", INTERFACE, "public-key").strip()
    write_tunnel(left, private, _ROOTLESS, key, OUTSIDE[1])
    return Both(turn, left, right)


def write_tunnel(host: Host, private: str, inside: str, public: str, outside: str) -> str:
    """Let an ordinary user in, and write the file of a tunnel for it; return its path.

    private, inside: key and address of this end; public, outside: of the other.
    """
    admit(host)
    config = _CONFIG.format(
        private=private, inside=inside, public=public, allowed=INSIDE[1], outside=outside, port=PORT
    )
    return write_for_user(host, "wg0.conf", config)


def _measured(both: Both, seconds: float) -> Samples:
    samples: Samples = {}
    for rootless in (False, True) if both.turn.round % 2 else (True, False):
        name = "rootless" if rootless else "with_root"
        samples[name] = both.gigabits(seconds, rootless=rootless)
        samples[f"{name}_back"] = both.gigabits(seconds, "--reverse", rootless=rootless)
    return samples


ROOTLESS: Final = Setting(
    "rootless",
    _both,
    (
        Row(
            "rootless",
            "TCP by a tunnel without root, and by one with root",
            (
                Measure.more("with_root", "TCP by a tunnel with root"),
                Measure.more("rootless", "TCP by a tunnel without root", "with_root"),
                Measure.more("with_root_back", "TCP back by a tunnel with root"),
                Measure.more("rootless_back", "TCP back by a tunnel without root", "with_root_back"),
            ),
            _measured,
            Plan.FULL,
            streams=4,
            seconds=4 * STARTING + 4,
            rulers=False,
            ours=True,
        ),
    ),
    seconds=4,
)
