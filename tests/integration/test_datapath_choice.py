"""What can be chosen of the data path, on a real TUN device: which it is, its offloads, its threads."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.peers import Implementation, Peer, wait_until_listening
from tests.integration.topologies import Pair
from wgpy.datapath import native

needs_native = pytest.mark.skipif(not native.available(), reason="the C data path is not built")

# Hands a TUN with these flags to the command that follows.
GIVE_TUN = """
import fcntl, os, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"given", int(sys.argv[1])))
os.set_inheritable(fd, True)
os.environ["WG_TUN_FD"] = str(fd)
os.execvp(sys.argv[2], sys.argv[2:])
"""
IFF_TUN_NO_PI, IFF_VNET_HDR = 0x1001, 0x4000

TRAFFIC = str(Path(__file__).with_name("traffic.py"))

ASK_OFFLOADS = """
from wgpy.host.tun import Tun, TunOffload
everything = ~TunOffload.NONE
for name, wanted in (("tun1", everything), ("tun2", TunOffload.CHECKSUM), ("tun3", TunOffload.NONE)):
    print(Tun.open(name, vnet_header=True).set_offloads(wanted).value)
print(Tun.open("tun4").set_offloads(everything).value)
"""

# A process with a shorter header than ours has opened it, and still reads it.
SHARE_TUN = """
import fcntl, os, struct
from wgpy.host.tun import Tun, TunOffload
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"shared", 0x5001))
for is_shared in (True, False):
    tun = Tun(os.dup(fd), is_shared=is_shared)
    accepted = tun.set_offloads(~TunOffload.NONE)
    print(tun.vnet_header_size, int(TunOffload.UDP_TUNNEL in accepted), int(TunOffload.TSO in accepted))
"""


def given_tun(flags: int, *command: str) -> list[str]:
    return [sys.executable, "-c", GIVE_TUN, str(flags), *command]


def threads(process: HostProcess) -> Counter[str]:
    """How many of each name; Python's own has the name of the program."""
    return Counter(task.read_text().strip() for task in Path(f"/proc/{process.pid}/task").glob("*/comm"))


def sleeps(peer: Peer, thread: str) -> int:
    """How often the thread of this name has gone to sleep."""
    assert peer.process is not None
    for task in Path(f"/proc/{peer.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == thread:
            lines = (task / "status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    raise AssertionError(f"there is no thread {thread}")


def pings_wake_only_inbound(pair: Pair) -> bool:
    """Of a few pings, fewer than make a turn busy."""
    ends = pair.left, pair.right
    before = [sleeps(end, "wgpy-outbound") for end in ends]
    for _ in range(5):
        pair.left.ping(pair.right)
    return [sleeps(end, "wgpy-outbound") for end in ends] == before


def stream(pair: Pair) -> None:
    right, port = pair.right.addresses[0], "5001"
    sink = pair.right.host.start(sys.executable, TRAFFIC, "tcp-sink", right, port)
    pair.left.machine.run(sys.executable, TRAFFIC, "tcp-send", right, port, "50000000")
    assert sink.wait().status == 0


def served(host: Host, *command: str, interface: str = "wg0") -> HostProcess:
    process = host.start(*command)
    wait_until_listening(host, interface, process)
    return process


def test_the_tun_offloads_what_it_is_asked_for_and_the_kernel_can(lab: Lab) -> None:
    everything, checksum, none, without_header = map(
        int, lab.host("host").run(sys.executable, "-c", ASK_OFFLOADS).split()
    )

    assert everything & 3 == 3, "checksums and TCP are older than any Python we run on"
    assert (checksum, none, without_header) == (1, 0, 0)


def test_a_header_that_another_process_reads_by_stays_and_is_too_short_for_tunnels(lab: Lab) -> None:
    shared, alone = lab.host("host").run(sys.executable, "-c", SHARE_TUN).splitlines()

    assert shared == "10 0 1"
    assert alone in ("24 1 1", "24 0 1"), "UDP tunnels since Linux 6.17"


@needs_native
@pytest.mark.parametrize("workers", [1, 3])
def test_each_worker_is_a_pair_of_threads(lab: Lab, program: str, workers: int) -> None:
    process = served(lab.host("host"), program, "-f", f"--workers={workers}", "wg0")

    names = threads(process)

    assert names["wgpy-inbound"] == names["wgpy-outbound"] == workers


@needs_native
def test_one_thread_has_both_directions_but_while_there_is_much_to_do(
    lab: Lab, daemon: Implementation
) -> None:
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    eventually(lambda: pings_wake_only_inbound(pair), "one thread a side answers pings", within=20)
    before = sleeps(pair.left, "wgpy-outbound")

    stream(pair)

    assert sleeps(pair.left, "wgpy-outbound") > before, "who sends a stream has two"
    eventually(lambda: pings_wake_only_inbound(pair), "and one again when it is over", within=20)


@needs_native
def test_a_persistent_tun_with_one_queue_is_enough_unless_more_are_asked_for(lab: Lab, program: str) -> None:
    host = lab.host("host")
    host.run("ip", "tuntap", "add", "dev", "wg0", "mode", "tun", "vnet_hdr")

    refused = host.attempt(program, "-f", "--workers=2", "wg0")
    process = served(host, program, "-f", "wg0")

    assert refused.status != 0
    assert threads(process)["wgpy-inbound"] == 1


def test_in_python_there_is_one_thread(lab: Lab, program: str) -> None:
    process = served(lab.host("host"), "env", "WGPY_DATAPATH=portable", program, "-f", "--workers=3", "wg0")

    assert threads(process).total() == 1


@needs_native
@pytest.mark.parametrize("flags", [IFF_TUN_NO_PI, IFF_TUN_NO_PI | IFF_VNET_HDR], ids=["plain", "headers"])
def test_a_given_tun_may_have_headers_or_not(lab: Lab, program: str, flags: int) -> None:
    host = lab.host("host")

    process = served(host, *given_tun(flags, program, "-f", "given"), interface="given")

    host.run("ip", "link", "delete", "given")
    assert process.wait().status == 0


def test_in_python_a_given_tun_may_not_have_headers(lab: Lab, program: str) -> None:
    command = given_tun(IFF_TUN_NO_PI | IFF_VNET_HDR, program, "-f", "--datapath=portable", "given")

    result = lab.host("host").attempt(*command)

    assert result.status == 1
    assert result.output.startswith("wgpyd: WG_TUN_FD cannot be used: given was opened with IFF_VNET_HDR")
    assert result.output.count("\n") == 1


def test_wgpy_show_tells_what_was_dropped(lab: Lab, program: str) -> None:
    host = lab.host("host")
    wgpy = str(Path(program).with_name("wgpy"))
    served(host, program, "-f", "wg0")
    assert host.run(wgpy, "show", "wg0", "--counters") == "interface: wg0\n  nothing was dropped\n"

    host.run("ip", "link", "set", "lo", "up")
    host.run("ip", "address", "add", "10.0.0.1/24", "dev", "wg0")
    host.run("ip", "link", "set", "wg0", "up")
    host.attempt("ping", "-c1", "-W1", "10.0.0.2")

    def told() -> bool:
        return "no_peer_for_destination: " in host.run(wgpy, "show", "--counters")

    eventually(told, "the ping is among what was dropped")
