#!/bin/sh
# uvloop 0.23.0 (PyPI), Python 3.11.7, Linux 6.18, 2026-11-29.
#
# A server that loop.create_unix_server has begun serves on asyncio's own loop whether or not anybody keeps the Server object. On
# uvloop it ends with that object: the listening socket is closed at the next garbage collection, so that a daemon that starts its
# server in a function of its own answers for some seconds or minutes, and then refuses connections.
#
# Seen:
#   asyncio: answers after a collection
#   uvloop: ConnectionRefusedError
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check uvloop==0.23.0
seen=$("$folder/venv/bin/python" - "$folder" << 'PYTHON'
import asyncio
import gc
import sys
from pathlib import Path

import uvloop


async def begin(path: str) -> None:
    await asyncio.get_running_loop().create_unix_server(asyncio.Protocol, path)


async def answers(path: str) -> str:
    await begin(path)
    await asyncio.sleep(0.1)
    gc.collect()
    await asyncio.sleep(0.1)
    try:
        await asyncio.open_unix_connection(path)
    except OSError as error:
        return type(error).__name__
    return "answers after a collection"


for name, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
    with asyncio.Runner(loop_factory=factory) as runner:
        print(f"{name}: {runner.run(answers(str(Path(sys.argv[1]) / name)))}")
PYTHON
)
echo "$seen"
[ "$seen" = "asyncio: answers after a collection
uvloop: ConnectionRefusedError" ]
