"""Parts of the C data path as an extension of their own: tests reach what Python never calls otherwise."""

import importlib.util
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cffi import FFI

from tests.fastpath.natively import FASTPATH, STRICT
from wgpy.fastpath.build import declarations


def build_extension(names: Sequence[str], headers: Sequence[str], place: Path) -> tuple[Any, Any]:
    """ffi and lib of the parts of these names, or paths: what the headers hold between their cffi markers."""
    objects = [place / f"{Path(name).name}.o" for name in names]
    for name, compiled in zip(names, objects, strict=True):
        command = ["cc", *STRICT, "-fPIC", "-I", str(FASTPATH), "-c", "-o", str(compiled)]
        subprocess.run([*command, str(FASTPATH / f"{name}.c")], check=True)

    builder = FFI()
    for header in headers:
        builder.cdef(declarations((FASTPATH / header).read_text()))
    builder.set_source(
        "_parts",
        "".join(f'#include "{header}"\n' for header in headers),
        include_dirs=[str(FASTPATH)],
        extra_objects=list(map(str, objects)),
    )
    spec = importlib.util.spec_from_file_location("_parts", builder.compile(str(place)))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ffi, module.lib
