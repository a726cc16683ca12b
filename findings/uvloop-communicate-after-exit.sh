#!/bin/sh
# uvloop 0.23.0 (PyPI), Python 3.11.7, Linux 6.18, 2026-11-28.
#
# asyncio's Process.communicate(input) promises to ignore a child that has closed its standard input. On asyncio's own loop it
# does so for a child that has ended, too. On uvloop the same call raises RuntimeError. So a daemon that writes to short-lived
# tools (`ip -batch -`, `nft -f -`) works until it runs on uvloop and the tool ends first.
#
# Seen:
#   asyncio: no error
#   uvloop: RuntimeError
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvloop==0.23.0
seen=$("$folder/venv/bin/python" - << 'PYTHON'
import asyncio
from asyncio.subprocess import PIPE

import uvloop


async def write_to_who_has_ended() -> str:
    process = await asyncio.create_subprocess_exec("true", stdin=PIPE)
    await process.wait()
    try:
        await process.communicate(b"hello")
    except Exception as error:
        return type(error).__name__
    return "no error"


for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    with asyncio.Runner(loop_factory=factory) as runner:
        print(f"{name}: {runner.run(write_to_who_has_ended())}")
PYTHON
)
echo "$seen"
[ "$seen" = "asyncio: no error
uvloop: RuntimeError" ]
