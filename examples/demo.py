"""Two hosts, a WireGuard daemon on each, configured by `wg`: done as by hand, and told as it happens.

    left                                                  right
    wg0  10.1.0.1, fd01::1                 wg1  10.1.0.2, fd01::2       the tunnel
    veth 192.0.2.1  ----------------------  veth 192.0.2.2              the wire

Everything lives in namespaces made for the demo, so it needs no root where the system lets anybody make
user namespaces, and nothing of it is left when it ends.
"""

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 51820
TRANSFER_PORT = 7777
TRANSFER_SIZE = 32 * 2**20
CHUNK = 2**16
SOCKETS = Path("/run/wireguard")
PATIENCE = 10.0  # seconds to wait for a daemon


@dataclass(frozen=True, slots=True)
class Host:
    """One end. Both share the folder of the daemons' sockets, so their interfaces have different names."""

    name: str
    interface: str
    wire: str
    inside: tuple[str, str]


LEFT = Host("left", "wg0", "192.0.2.1", ("10.1.0.1", "fd01::1"))
RIGHT = Host("right", "wg1", "192.0.2.2", ("10.1.0.2", "fd01::2"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Two hosts, a WireGuard tunnel, real traffic in it.")
    parser.add_argument("--daemon", default="wgpyd", help="the daemon to use (default: %(default)s)")
    # How the demo calls itself again: inside of its namespaces, and as the ends of the transfer.
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--receive", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--send", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.receive:
            receive(options.receive)
        elif options.send:
            send(options.send)
        elif options.inside:
            demonstrate(find_daemon(options.daemon))
        else:
            enter_namespaces()
    except (OSError, DemoError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


class DemoError(Exception):
    """A sentence for the person who runs the demo."""


def enter_namespaces() -> None:
    """Start again as root of namespaces of our own. Does not return."""
    unshare = ["unshare", "--net", "--mount"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise DemoError("/dev/net/tun is missing or not open to you here; run the demo as root")
    try:
        run(*unshare, "true")
    except DemoError as error:
        raise DemoError(f"this host lets you make no namespaces ({error}); run the demo as root") from None
    os.execvp("unshare", [*unshare, sys.executable, __file__, "--inside", *sys.argv[1:]])


def find_daemon(name: str) -> str:
    """The daemon's path: beside this Python, as in a virtual environment, or on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise DemoError(f"there is no {name} here")
    return found


# -- The story -----------------------------------------------------------------------------------


def demonstrate(daemon: str) -> None:
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.environ["STATE_DIRECTORY"] = "/run"  # wgpyd remembers no key of the demo
    with ExitStack() as stack:
        say("Two hosts in network namespaces, a wire between them")
        connect()

        say(f"{Path(daemon).name} on each; `wg` gives them keys and tells them of each other")
        for host in (LEFT, RIGHT):
            stack.enter_context(running(daemon, host))
        configure()

        say("Ping through the tunnel, IPv4 and IPv6")
        for address in RIGHT.inside:
            show(LEFT, "ping", "-c", "3", "-i", "0.2", "-W", "5", address)

        say(f"A TCP connection through the tunnel: {TRANSFER_SIZE // 2**20} MiB")
        transfer()

        say("What `wg` sees on the left")
        show(LEFT, "wg", "show", LEFT.interface)
    say("Done, and nothing is left of it")


def connect() -> None:
    """The hosts and the wire, as drawn at the top."""
    for host in (LEFT, RIGHT):
        run("ip", "netns", "add", host.name)
    run(
        "ip",
        "-n",
        LEFT.name,
        "link",
        "add",
        "veth",
        "type",
        "veth",
        "peer",
        "name",
        "veth",
        "netns",
        RIGHT.name,
    )
    for host in (LEFT, RIGHT):
        run("ip", "-n", host.name, "link", "set", "lo", "up")
        run("ip", "-n", host.name, "address", "add", f"{host.wire}/24", "dev", "veth")
        run("ip", "-n", host.name, "link", "set", "veth", "up")


def configure() -> None:
    """Keys, peers and addresses: as with any other WireGuard."""
    private = {host: run("wg", "genkey") for host in (LEFT, RIGHT)}
    preshared = run("wg", "genpsk")
    for host, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        v4, v6 = host.inside
        on(
            host,
            "wg",
            "set",
            host.interface,
            "listen-port",
            str(PORT),
            "private-key",
            "/dev/stdin",
            stdin=private[host],
        )
        allowed_ips = ",".join(other.inside)
        on(
            host,
            *("wg", "set", host.interface, "peer", run("wg", "pubkey", stdin=private[other])),
            *("preshared-key", "/dev/stdin", "endpoint", f"{other.wire}:{PORT}", "allowed-ips", allowed_ips),
            stdin=preshared,
        )
        run("ip", "-n", host.name, "address", "add", f"{v4}/24", "dev", host.interface)
        run("ip", "-n", host.name, "address", "add", f"{v6}/64", "dev", host.interface, "nodad")
        run("ip", "-n", host.name, "link", "set", host.interface, "mtu", "1420", "up")
        print(f"  {host.name}: {host.interface}, {v4} and {v6}, over {host.wire}")


def transfer() -> None:
    """Send random bytes from left to right; both ends say the same hash, or the demo fails."""
    receiver = subprocess.Popen(
        inside(RIGHT, sys.executable, __file__, "--receive", RIGHT.inside[0]),
        stdout=subprocess.PIPE,
        text=True,
    )
    with receiver:
        sent, seconds = on(LEFT, sys.executable, __file__, "--send", RIGHT.inside[0]).split()
        received = receiver.communicate()[0].strip()
    if sent != received:
        raise DemoError(f"left sent {sent}, right received {received}")
    rate = TRANSFER_SIZE * 8 / float(seconds) / 1e6
    print(f"  arrived whole, SHA-256 {sent[:16]}…, in {float(seconds):.1f} s: {rate:.0f} Mbit/s")


@contextmanager
def running(daemon: str, host: Host) -> Iterator[None]:
    """A daemon in the foreground, until the block ends."""
    log = Path("/run") / f"{host.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(inside(host, daemon, "-f", host.interface), stdout=output, stderr=output)
    try:
        await_socket(process, host, log)
        yield
    finally:
        process.terminate()
        process.wait()


def await_socket(process: "subprocess.Popen[bytes]", host: Host, log: Path) -> None:
    patience = time.monotonic() + PATIENCE
    while not (SOCKETS / f"{host.interface}.sock").exists():
        if process.poll() is not None:
            raise DemoError(f"the daemon on {host.name} exited with {process.returncode}: {log.read_text()}")
        if time.monotonic() > patience:
            raise DemoError(f"the daemon on {host.name} opened no socket within {PATIENCE:.0f} seconds")
        time.sleep(0.02)


# -- The two ends of the transfer ----------------------------------------------------------------


def receive(address: str) -> None:
    """Take one connection and print the hash of what came."""
    digest = hashlib.sha256()
    with socket.create_server((address, TRANSFER_PORT)) as server:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(CHUNK):
                digest.update(data)
    print(digest.hexdigest())


def send(address: str) -> None:
    """Send random bytes; print their hash and the seconds until the other end had them all."""
    digest = hashlib.sha256()
    with connect_patiently(address) as connection:
        start = time.monotonic()
        for _ in range(TRANSFER_SIZE // CHUNK):
            data = os.urandom(CHUNK)
            digest.update(data)
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)  # the other end closes when it has read everything
        print(digest.hexdigest(), time.monotonic() - start)


def connect_patiently(address: str) -> socket.socket:
    """The receiver is started at the same time, and may not listen yet."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((address, TRANSFER_PORT), timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.02)


# -- Helpers -------------------------------------------------------------------------------------


def say(sentence: str) -> None:
    print(f"\n* {sentence}", flush=True)


def inside(host: Host, *command: str) -> list[str]:
    return ["ip", "netns", "exec", host.name, *command]


def on(host: Host, *command: str, stdin: str = "") -> str:
    return run(*inside(host, *command), stdin=stdin)


def show(host: Host, *command: str) -> None:
    """Run a command on a host and print what it says."""
    output = on(host, *command)
    print("".join(f"  {line}\n" for line in output.splitlines()), end="", flush=True)


def run(*command: str, stdin: str = "") -> str:
    """What the command prints; DemoError with what it says if it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
