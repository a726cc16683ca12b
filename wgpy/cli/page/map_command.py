"""`wgpy mesh map`: the network as a drawing, in the terminal or in a file."""

import shutil
import subprocess
import time
from argparse import Namespace
from pathlib import Path
from typing import Final

from wgpy.cli.changes import need_root
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import daemons, networks
from wgpy.cli.mesh.output import report
from wgpy.cli.mesh.status import without_old

from .drawing import dot, text
from .view import view

_LAYOUT: Final = "twopi"  # of Graphviz: rings around this node


def show_map(arguments: Namespace) -> None:
    """Raises CommandError."""
    need_root("mesh map")
    network = networks.selected(arguments)
    found = view(without_old(daemons.status(network), int(time.time())))
    for path, form in ((arguments.dot, ""), (arguments.svg, "svg"), (arguments.png, "png")):
        if path:
            _write(Path(path), _drawn(dot(found), form) if form else dot(found).encode() + b"\n")
    if arguments.json or not (arguments.dot or arguments.svg or arguments.png):
        report(arguments, found, text(found))


def _drawn(graph: str, form: str) -> bytes:
    """Return a picture. form: as Graphviz calls it. Raises CommandError."""
    if not (program := shutil.which(_LAYOUT)):
        raise CommandError(
            "Graphviz draws pictures and is not installed: `apt-get install graphviz`; --dot needs nothing"
        )
    done = subprocess.run([program, f"-T{form}"], input=graph.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise CommandError(f"Graphviz failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _write(path: Path, content: bytes) -> None:
    """Raises CommandError."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
