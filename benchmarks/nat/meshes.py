"""The meshes that are compared, by the name of their implementation."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from benchmarks.nat.mesh import Mesh
from benchmarks.nat.nebula import Nebula
from benchmarks.nat.ours import Wgpy
from benchmarks.nat.tailscale import Tailscale
from benchmarks.suite.implementations import Implementation

_MESHES: Final[Mapping[str, Callable[..., Mesh]]] = {
    "wgpy-mesh": Wgpy,
    "tailscaled": Tailscale,
    "tailscaled-peer-relay": partial(Tailscale, by_peer=True),
    "nebula": Nebula,
}


def mesh_of(implementation: Implementation) -> Mesh:
    """Return a mesh that has no node yet."""
    return _MESHES[implementation.name](*implementation.command)
