#!/usr/bin/env python3
"""Proves that wgpy works where it is installed: its programs, and a packet by each data path that is there.

python selfcheck.py [OPTION]... [native|portable]...     without names: the data paths that are there
  --launcher COMMAND   starts this Python, where the kernel cannot: an emulator
  --vectors FILE       seal and open the packets of tests/vectors/chacha20poly1305.json
  --exec               run a program in a tunnel, by `wgpy exec`, where this host allows it
"""

import argparse
import asyncio
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import wgpy
from wgpy.datapath import native
from wgpy.driver.settings import read_settings
from wgpy.testing import InnerPacket

_WITHIN: Final = 300.0  # seconds: an emulator on a busy host is slow
_TAG: Final = 16  # bytes
_KERNELS: Final = "portable", "avx2", "avx512", "avx512-beside", "neon"
_PACKET: Final = InnerPacket("10.0.0.1", "10.0.0.2", number=7, size=1000).encode()


def main(options: argparse.Namespace) -> None:
    """Raises whatever does not work."""
    wgpy.PrivateKey.from_base64(_run(options.launcher, "wgpy", "genkey"))
    _run(options.launcher, "wgpyd", "--version")
    if options.vectors:
        check_vectors(options.vectors)
    for datapath in options.datapaths or ["portable", *(["native"] if native.available() else [])]:
        asyncio.run(exchange(datapath))
    if options.exec:
        asyncio.run(execute(options.launcher))
    print(
        f"wgpy {wgpy.__version__} of {Path(wgpy.__file__).parent}, Python {sys.version.split()[0]}: it works"
    )


def _run(launcher: Sequence[str], *command: str) -> str:
    done = subprocess.run(_installed(launcher, *command), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _installed(launcher: Sequence[str], program: str, *arguments: str) -> list[str]:
    """Return the command that runs a program of what is installed."""
    path = Path(sys.executable).with_name(program)
    if not path.exists():  # modules and programs are in one folder: pip install --target
        path = Path(wgpy.__file__).parents[1] / "bin" / program
    return [*launcher, *([sys.executable] if launcher else []), str(path), *arguments]


async def exchange(datapath: str) -> None:
    """Send a packet through a tunnel of this process to itself. Raises TimeoutError if it does not arrive."""
    settings = read_settings({"WGPY_DATAPATH": datapath})
    keys = [wgpy.PrivateKey.generate() for _ in range(2)]
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in keys]
    packets = [wgpy.PacketSocket(device) for device, _ in ends]
    async with (
        asyncio.timeout(_WITHIN),
        wgpy.Tunnel(
            _config(keys[1], keys[0].public_key(), "10.0.0.1"), packets=packets[1], settings=settings
        ) as right,
        wgpy.Tunnel(
            _config(keys[0], keys[1].public_key(), "10.0.0.2", right.listen_port),
            packets=packets[0],
            settings=settings,
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


async def execute(launcher: Sequence[str]) -> None:
    """Have a program in a tunnel of its own ask a server in another one. Raises CalledProcessError."""
    unshare = await asyncio.create_subprocess_exec("unshare", "--user", "--net", "true")
    if await unshare.wait() or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        print("NOT TRIED: wgpy exec, as this host forbids user namespaces or /dev/net/tun")
        return
    keys = [wgpy.PrivateKey.generate() for _ in range(2)]
    ask = "import socket; print(socket.create_connection(('10.0.0.1', 80)).recv(9).decode(), end='')"
    with TemporaryDirectory() as place:
        async with (
            asyncio.timeout(_WITHIN),
            wgpy.Tunnel(_config(keys[0], keys[1].public_key(), "10.0.0.2", address="10.0.0.1")) as tunnel,
            await tunnel.start_server(_greet, None, 80),
        ):
            text = _config(keys[1], keys[0].public_key(), "10.0.0.1", tunnel.listen_port, address="10.0.0.2")
            config = _write_private(Path(place, "wg0.conf"), text)
            program = ("wgpy", "exec", str(config), "--", *launcher, sys.executable, "-c", ask)
            said = await asyncio.to_thread(_run, launcher, *program)
    if said != "hello":
        raise AssertionError(f"another answer came out of the tunnel: {said!r}")
    print("wgpy exec: a program was answered")


def _write_private(file: Path, text: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(text)
    return file


async def _greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()


def check_vectors(file: Path) -> None:
    """Seal and open the packets of a file by each AEAD kernel of this processor. Raises AssertionError."""
    from wgpy._fastpath import ffi, lib  # noqa: PLC0415  # which may be missing

    packets = [
        (bytes.fromhex(group["key"]), one["counter"], one["plaintext"], one["sealed"])
        for group in json.loads(file.read_text())["groups"]
        for one in group["packets"]
    ]
    found = {name: lib.wgfp_aead_kernel_find(name.encode()) for name in _KERNELS}
    kernels = {name: kernel for name, kernel in found.items() if kernel != ffi.NULL}
    for (name, kernel), (key, counter, plain, sealed) in product(kernels.items(), packets):
        opened = _apply(lib.wgfp_aead_open, kernel, key, counter, bytes.fromhex(sealed), -_TAG)
        made = sealed
        if plain is not None:
            made = _apply(lib.wgfp_aead_seal, kernel, key, counter, bytes.fromhex(plain), _TAG)
        if (opened, made) != (plain, sealed):
            raise AssertionError(f"{name}: the packet with the counter {counter} is another one")
    print(f"vectors: {len(packets)} packets, by {', '.join(kernels)}")


def _apply(function: Any, kernel: Any, key: bytes, counter: int, data: bytes, grows: int) -> str | None:
    """Return the packet that a function of the C data path makes of another, as text; None if it is refused.

    grows: how many bytes it is longer.
    """
    from wgpy._fastpath import ffi  # noqa: PLC0415

    source, target = ffi.from_buffer(data), ffi.new("uint8_t[]", len(data) + _TAG)
    length = len(data) + min(grows, 0)
    packet = ffi.new(
        "struct wgfp_aead_packet *",
        {"src": source, "dst": target, "counter": counter, "length": length, "ok": 1},
    )
    function(kernel, key, packet, 1)
    return ffi.buffer(target, len(data) + grows)[:].hex() if packet.ok else None


def _name(datapath: str) -> str:
    """Return a data path's name, and by which instructions of the processor it encrypts."""
    if datapath == "portable":
        return datapath
    from wgpy._fastpath import ffi, lib  # noqa: PLC0415  # which may be missing

    kernel = ffi.string(lib.wgfp_aead_kernel_name(lib.wgfp_aead_kernel_best())).decode()
    return f"{datapath}, {kernel}"


def _config(
    own: wgpy.PrivateKey, other: wgpy.PublicKey, allowed: str, port: int = 0, address: str = ""
) -> str:
    addresses = f"Address = {address}/24\n" if address else ""
    endpoint = f"Endpoint = 127.0.0.1:{port}\n" if port else ""
    return (
        f"[Interface]\nPrivateKey = {own.base64()}\n{addresses}"
        f"[Peer]\nPublicKey = {other}\nAllowedIPs = {allowed}/32\n{endpoint}"
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--launcher", type=shlex.split, default=[])
    options.add_argument("--vectors", type=Path)
    options.add_argument("--exec", action="store_true")
    options.add_argument("datapaths", nargs="*")
    main(options.parse_args())
