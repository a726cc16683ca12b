"""What a program carries without root, in a tunnel of its own or by a mesh, beside the same tunnel with root.

left eth0 -------- veth -------- eth0 right      wgbench0 of the left host is wgpyd's; the tunnel without root
 wgbench0 ======== tunnel ====== wgbench0        is an ordinary user's, by `wgpy exec`, with keys of its own

To `wgpy exec --mesh` a node of a mesh is an interface whose alias says so, and its addresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
from wgpy.host.links import mesh_owner

_ROOTLESS: Final = "198.18.0.3"  # its address
_NETWORK: Final = "bench"
_BY_FILE: Final = ("./wg0.conf",)
_BY_MESH: Final = ("--mesh", _NETWORK)
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

    def gigabits(self, seconds: float, *options: str, inside: Sequence[str]) -> float:
        """inside: what `wgpy exec` takes before the program; nothing: as root. Raises MeasureFailed."""
        if not inside:
            return stream(self.left, self.right, INSIDE[1], seconds, *options).gigabits
        program_inside = (*stream_client(INSIDE[1], seconds), *options)
        with serving(self.right):
            done = attempt_as_user(self.left, program("wgpy"), "exec", *inside, "--", *program_inside)
        return read_iperf3(done.output).gigabits


def _both(turn: Turn) -> Both:
    left, right, _ = tunnel_of_two(turn)
    private, public = key_pair()
    right.run("wg", "set", INTERFACE, "peer", public, "allowed-ips", _ROOTLESS)
    key = right.run("wg", "show", INTERFACE, "public-key").strip()
    write_tunnel(left, private, _ROOTLESS, key, OUTSIDE[1])
    left.run("ip", "link", "set", INTERFACE, "alias", mesh_owner(_NETWORK))
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


def _measured(both: Both, seconds: float, names: tuple[str, str], inside: Sequence[str]) -> Samples:
    """Return samples as root and inside, by these names, in the other order every second round."""
    samples: Samples = {}
    ways = [*zip(names, ((), inside), strict=True)]
    for name, how in ways[:: 1 if both.turn.round % 2 else -1]:
        samples[name] = both.gigabits(seconds, inside=how)
        samples[f"{name}_back"] = both.gigabits(seconds, "--reverse", inside=how)
    return samples


def _row(name: str, own: str, about: tuple[str, str], inside: Sequence[str]) -> Row[Both]:
    """own: of the measure as root; about: what carries it as root, and inside."""
    return Row(
        name,
        f"TCP {about[1]}, and {about[0]}",
        (
            Measure.more(own, f"TCP {about[0]}"),
            Measure.more(name, f"TCP {about[1]}", own),
            Measure.more(f"{own}_back", f"TCP back {about[0]}"),
            Measure.more(f"{name}_back", f"TCP back {about[1]}", f"{own}_back"),
        ),
        partial(_measured, names=(own, name), inside=inside),
        Plan.FULL,
        streams=4,
        seconds=4 * STARTING + 4,
        rulers=False,
        ours=True,
    )


ROOTLESS: Final = Setting(
    "rootless",
    _both,
    (
        _row("rootless", "with_root", ("by a tunnel with root", "by a tunnel without root"), _BY_FILE),
        _row("rootlessmesh", "of_node", ("by a node's interface", "by `wgpy exec --mesh` there"), _BY_MESH),
    ),
    seconds=4,
)
