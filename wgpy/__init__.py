"""WireGuard in Python: keys, a sans-IO protocol engine, and what drives it.

The public names are loaded when they are first used, so `import wgpy` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wgpy.keys import PresharedKey as PresharedKey
    from wgpy.keys import PrivateKey as PrivateKey
    from wgpy.keys import PublicKey as PublicKey

    __version__: str

_HOME = {
    "PresharedKey": "wgpy.keys",
    "PrivateKey": "wgpy.keys",
    "PublicKey": "wgpy.keys",
}

__all__ = ["PresharedKey", "PrivateKey", "PublicKey", "__version__"]


def __getattr__(name: str) -> object:
    """Load a public name from its module. PEP 562."""
    value: object
    if name == "__version__":
        value = import_module("importlib.metadata").version("wgpy")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'wgpy' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
