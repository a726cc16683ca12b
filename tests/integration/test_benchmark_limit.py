"""The limit and the rulers beside it carry what a tunnel carries, and no daemon can be made to be one.

left eth0 -------- veth, MTU 1500 -------- eth0 right
     wg0  ==== limit, or structure ======= wg0
"""

import fcntl
import os
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.compiler import build
from tests.integration.exchange import assert_tcp_arrives_whole, assert_udp_comes_back, complaints
from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually

ROOT = Path(__file__).parents[2]
LIMIT = ROOT / "benchmarks/limit"
FASTPATH = ROOT / "wgpy/fastpath"
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-I", str(FASTPATH), "-pthread")
DATA_PATH = [ROOT / "wgpy/_fastpath.c", *sorted(FASTPATH.glob("*.c"))]
SOURCES = {"limit": [LIMIT / "limit.c"], "structure": [LIMIT / "structure.c", *DATA_PATH]}
RULERS = {
    "limit": ("limit",),
    "structure-null": ("structure", "null"),
    "structure-aead": ("structure", "aead"),
}
OUTSIDE = ("192.0.2.1", "192.0.2.2")
INSIDE = ("10.0.0.1", "10.0.0.2")
INSIDE6 = ("fd00::1", "fd00::2")
MTU = 1420
TCP_BYTES = 40_000_000
# Nothing, one of everything around what fits into a packet with IPv4 and IPv6 headers, and fragments.
UDP_SIZES = (*range(48), 511, 512, 1371, 1372, 1373, 1391, 1392, 1393, 4000, 16_000, 65_000)
WRONG = (
    (["wg0", "0", "192.0.2.2", "51820"], "0 is no port; want a number from 1 to 65535"),
    (["wg0", "51820", "192.0.2.2", "65536"], "65536 is no port"),
    (["wg0", "51820", "192.0.2.2", ""], " is no port"),
    (["wg0", "51820", "192.0.2.2", "-1"], "-1 is no port"),
    (["wg0", "51820", "192.0.2.2", "80x"], "80x is no port"),
    (["wg0", "51820", "2001:db8::2", "51820"], "2001:db8::2 is no IPv4 address"),
    (["wg0", "51820", "example.com", "51820"], "example.com is no IPv4 address"),
    (["sixteen-letters-", "51820", "192.0.2.2", "51820"], "has more than 15 characters"),
    (["", "51820", "192.0.2.2", "51820"], "the interface has no name"),
    (["lo", "51820", "192.0.2.2", "51820"], "cannot make the TUN device lo"),
)


@dataclass(frozen=True, slots=True)
class Programs:
    """The rulers' programs by name; each is built by whichever worker wants it first."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        program = self.folder / name
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return program if program.exists() else build(program, SOURCES[name], *STRICT)


@dataclass(frozen=True, slots=True)
class Ends:
    """Two hosts with a ruler between them."""

    left: Host
    right: Host
    rulers: tuple[HostProcess, HostProcess]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    if shutil.which("cc") is None:
        pytest.skip("this host lacks cc")
    own = tmp_path_factory.mktemp("rulers")
    # A worker's folders are below that of the whole run.
    return Programs(own.parents[1] if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(params=RULERS)
def ends(lab: Lab, programs: Programs, request: pytest.FixtureRequest) -> Ends:
    """Each kind of ruler in turn."""
    name, *cipher = RULERS[request.param]
    left, right = lab.host("left"), lab.host("right")
    connect(left, "eth0", right, "eth0")
    started = []
    for here, host in enumerate((left, right)):
        there = 1 - here
        add_addresses(host, "eth0", f"{OUTSIDE[here]}/24")
        started.append(host.start(str(programs[name]), "wg0", "51820", OUTSIDE[there], "51820", *cipher))
    for host, *addresses in zip((left, right), INSIDE, INSIDE6, strict=True):
        has_interface(host)
        add_addresses(host, "wg0", f"{addresses[0]}/24", f"{addresses[1]}/64")
        host.run("ip", "link", "set", "wg0", "mtu", str(MTU), "up")
    return Ends(left, right, (started[0], started[1]))


def has_interface(host: Host) -> None:
    eventually(lambda: host.attempt("ip", "link", "show", "wg0").status == 0, "the ruler has its interface")


@pytest.mark.parametrize("addresses", [INSIDE, INSIDE6], ids=["IPv4", "IPv6"])
def test_what_goes_in_comes_out(ends: Ends, addresses: tuple[str, str]) -> None:
    left, right = ends.left, ends.right

    for size in (0, 1, 56, 1372, 8000):
        left.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", "-s", str(size), addresses[1])
    assert_tcp_arrives_whole(left, right, addresses[1], TCP_BYTES)
    assert_tcp_arrives_whole(right, left, addresses[0], TCP_BYTES)
    assert_udp_comes_back(left, right, addresses[1], UDP_SIZES)
    assert complaints(left) == complaints(right) == []
    assert all(ruler.is_running() for ruler in ends.rulers)


def test_a_ruler_ends_when_it_is_told_to_and_its_interface_with_it(ends: Ends) -> None:
    ends.rulers[0].kill(signal.SIGTERM)

    assert ends.rulers[0].wait(5).status in {-signal.SIGTERM, 128 + signal.SIGTERM}
    assert ends.left.attempt("ip", "link", "show", "wg0").status != 0
    assert ends.rulers[1].is_running()


@pytest.mark.parametrize("ruler", RULERS)
def test_wrong_arguments_are_refused_with_the_reason(lab: Lab, programs: Programs, ruler: str) -> None:
    name, *cipher = RULERS[ruler]
    host = lab.host("host")

    for arguments, reason in WRONG:
        done = host.attempt(str(programs[name]), *arguments, *cipher, timeout=10)

        assert done.status == 1
        assert done.output.startswith(f"{name}: ")
        assert reason in done.output
    for missing in ([], ["wg0", "51820", "192.0.2.2"]):
        done = host.attempt(str(programs[name]), *missing, timeout=10)

        assert (done.status, done.output[:7]) == (2, "usage: ")


def test_a_cipher_that_does_not_exist_is_refused(lab: Lab, programs: Programs) -> None:
    done = lab.host("host").attempt(
        str(programs["structure"]), "wg0", "51820", "192.0.2.2", "51820", "none", timeout=10
    )

    assert done.status == 1
    assert "none is no cipher; want null or aead" in done.output


def test_a_port_that_is_taken_is_said(ends: Ends, programs: Programs) -> None:
    done = ends.left.attempt(str(programs["limit"]), "wg1", "51820", "192.0.2.2", "51820", timeout=10)

    assert done.status == 1
    assert "cannot listen on UDP port 51820: Address already in use" in done.output


@pytest.mark.parametrize("name", SOURCES)
def test_another_compiler_has_no_warnings_either(name: str, tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("this host lacks clang")

    build(tmp_path / name, SOURCES[name], *STRICT, "-fsyntax-only", compiler="clang")


# -- No daemon can be switched to it ---------------------------------------------------------------


def test_the_library_that_daemons_load_has_no_null_cipher(programs: Programs) -> None:
    extension = pytest.importorskip("wgpy._fastpath")

    assert has_null_cipher(programs["structure"].read_bytes())
    assert not has_null_cipher(Path(extension.__file__).read_bytes())
    assert extension.lib.wgfp_aead_kernel_find(b"null") == extension.ffi.NULL
    assert extension.lib.wgfp_aead_kernel_find(b"portable") != extension.ffi.NULL


def test_the_sources_of_daemons_have_ciphers_that_encrypt_and_no_others() -> None:
    assert kernels_in(ROOT / "wgpy", ROOT / "daemon") == {
        f"wgfp_aead_{name}" for name in ("portable", "avx2", "avx512", "avx512_beside", "neon")
    }
    assert kernels_in(LIMIT) == {"null_kernel"}


def has_null_cipher(library: bytes) -> bool:
    """Say whether it knows a cipher by the name that the rulers have for none."""
    return b"\0null\0" in library


def kernels_in(*folders: Path) -> set[str]:
    """Return the names of all the implementations of the cipher that are defined below some folders."""
    sources = (path.read_text() for folder in folders for path in folder.rglob("*.[ch]"))
    return {name for text in sources for name in re.findall(r"struct wgfp_aead_kernel (\w+) = \{", text)}
