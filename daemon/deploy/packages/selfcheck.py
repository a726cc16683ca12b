#!/usr/bin/env python3
"""Proves that wgpy works where it is installed: its programs, and a packet by each data path that is there.

python selfcheck.py [--launcher COMMAND] [native|portable]...     without names: those that are there
"""

import argparse
import asyncio
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import wgpy
from wgpy.datapath import native
from wgpy.driver.settings import read_settings
from wgpy.testing import InnerPacket

_WITHIN: Final = 30.0  # seconds
_PACKET: Final = InnerPacket("10.0.0.1", "10.0.0.2", number=7, size=1000).encode()


def main(datapaths: Sequence[str], launcher: Sequence[str]) -> None:
    """Raises whatever does not work.

    launcher: what starts this Python, where the kernel cannot: an emulator.
    """
    wgpy.PrivateKey.from_base64(_run(launcher, "wgpy", "genkey"))
    _run(launcher, "wgpyd", "--version")
    for datapath in datapaths or ["portable", *(["native"] if native.available() else [])]:
        asyncio.run(exchange(datapath))
    print(
        f"wgpy {wgpy.__version__} of {Path(wgpy.__file__).parent}, Python {sys.version.split()[0]}: it works"
    )


def _run(launcher: Sequence[str], program: str, *arguments: str) -> str:
    path = Path(sys.executable).with_name(program)
    if not path.exists():  # modules and programs are in one folder: pip install --target
        path = Path(wgpy.__file__).parents[1] / "bin" / program
    command = [*launcher, sys.executable, str(path)] if launcher else [str(path)]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def exchange(datapath: str) -> None:
    """Send a packet through a tunnel of this process to itself. Raises TimeoutError if it does not arrive."""
    settings = read_settings({"WGPY_DATAPATH": datapath})
    keys = [wgpy.PrivateKey.generate() for _ in range(2)]
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in keys]
    packets = [wgpy.PacketSocket(device) for device, _ in ends]
    async with (
        asyncio.timeout(_WITHIN),
        wgpy.Tunnel(_config(keys[1], keys[0], "10.0.0.1"), packets=packets[1], settings=settings) as right,
        wgpy.Tunnel(
            _config(keys[0], keys[1], "10.0.0.2", right.listen_port), packets=packets[0], settings=settings
        ),
    ):
        for _, host in ends:
            host.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ends[0][1], _PACKET)
        received = await loop.sock_recv(ends[1][1], 1 << 16)
    if received != _PACKET:
        raise AssertionError(f"{datapath}: another packet arrived")
    print(f"{_name(datapath)}: a packet arrived")


def _name(datapath: str) -> str:
    """Return a data path's name, and by which instructions of the processor it encrypts."""
    if datapath == "portable":
        return datapath
    from wgpy._fastpath import ffi, lib  # noqa: PLC0415  # which may be missing

    kernel = ffi.string(lib.wgfp_aead_kernel_name(lib.wgfp_aead_kernel_best())).decode()
    return f"{datapath}, {kernel}"


def _config(own: wgpy.PrivateKey, other: wgpy.PrivateKey, allowed: str, port: int = 0) -> str:
    endpoint = f"Endpoint = 127.0.0.1:{port}\n" if port else ""
    return (
        f"[Interface]\nPrivateKey = {own.base64()}\n"
        f"[Peer]\nPublicKey = {other.public_key()}\nAllowedIPs = {allowed}/32\n{endpoint}"
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--launcher", type=shlex.split, default=[])
    options.add_argument("datapaths", nargs="*")
    chosen = options.parse_args()
    main(chosen.datapaths, chosen.launcher)
