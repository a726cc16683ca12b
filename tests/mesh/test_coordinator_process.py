"""`wgmesh` as a process: what it acknowledged outlives it, and it ends when it is asked to."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

from tests.mesh.coordinator import ALICE, TOKEN, Site, in_a_loop
from tests.mesh.network import key_of
from wgpy.mesh.signing import Signed
from wgpy.node.coordinator import Address, CoordinatorError, Unreachable

ROOT = Path(__file__).parents[2]
READY = b"READY=1"
KILLS = 3


class Process:
    """`wgmesh serve` of a site; when it is made it listens, as it tells systemd."""

    def __init__(self, site: Site, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        site.address = Address(f"https://127.0.0.1:{port}", site.address.key_hash)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            path = site.folder / "notify"
            path.unlink(missing_ok=True)
            systemd.bind(str(path))
            systemd.settimeout(60)
            where = f"127.0.0.1:{port}"
            self._process = start("serve", str(site.folder), "--listen", where, *options, notify=path)
            assert systemd.recv(100) == READY

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self, number: int) -> tuple[int, str]:
        """Ask it to end; its status, and what it logged."""
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, (out + err).decode()


def start(*arguments: str, notify: Path | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "wgmesh.main", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}", "NOTIFY_SOCKET": str(notify or "")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@in_a_loop
async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    site = Site.create(tmp_path)
    random = Random(seed)
    administrator = site.administrator
    acknowledged: set[Signed] = set()

    async def hand_in(first: int, enough: int) -> None:
        async with site.ask() as coordinator:
            for number in range(first, first + 1000):
                records = [
                    administrator.join(key_of(number), TOKEN, address=IPv4Address("100.80.0.0") + number),
                    administrator.invite(key_of(100_000 + number)),
                ]
                outcomes = await coordinator.submit(records)
                assert [outcome.verdict for outcome in outcomes] == ["new", "new"]
                acknowledged.update(records)
                if number == first + enough:
                    in_the_middle.set()

    process = Process(site)
    administrator.found()
    administrator.invite(TOKEN, uses=10_000)
    await site.submit_all()
    for kill in range(KILLS):
        in_the_middle = asyncio.Event()
        task = asyncio.create_task(hand_in(1000 * (kill + 1), random.randrange(40)))
        await in_the_middle.wait()
        process.kill()
        (failure,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(failure, CoordinatorError)

        process = Process(site)
        async with site.ask(administrator.key) as coordinator:
            stored = set(await coordinator.records())
        assert acknowledged <= stored <= set(administrator.records)
    process.kill()


@in_a_loop
async def test_it_ends_when_asked_and_waits_for_nobody(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    process = Process(site)
    await site.found(ALICE)
    async with site.follow(ALICE) as alice:
        await alice.told()

        status, log = await asyncio.to_thread(process.end, signal.SIGTERM)

        assert status == 0
        assert "n11: n11 joined" in log
        assert str(ALICE.verify_key()) not in log
        try:
            await alice.told()
            raise AssertionError("it goes on")
        except Unreachable:
            pass
