"""WireGuard in Python: keys, configuration files, a sans-IO protocol engine, and what drives it.

The public names are loaded when they are first used, so `import wgpy` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wgpy.config import Config as Config
    from wgpy.config import ConfigError as ConfigError
    from wgpy.config import PeerConfig as PeerConfig
    from wgpy.contract.endpoint import Endpoint as Endpoint
    from wgpy.contract.orders import AllowedIP as AllowedIP
    from wgpy.datapath.portable import PortableDataPath as PortableDataPath
    from wgpy.driver.interface import Interface as Interface
    from wgpy.engine.engine import Engine as Engine
    from wgpy.keys import PresharedKey as PresharedKey
    from wgpy.keys import PrivateKey as PrivateKey
    from wgpy.keys import PublicKey as PublicKey
    from wgpy.model import AllowedIPChange as AllowedIPChange
    from wgpy.model import DeviceStatus as DeviceStatus
    from wgpy.model import DeviceUpdate as DeviceUpdate
    from wgpy.model import PeerStatus as PeerStatus
    from wgpy.model import PeerUpdate as PeerUpdate

    __version__: str

_HOMES = {
    "AllowedIP": "wgpy.contract.orders",
    "AllowedIPChange": "wgpy.model",
    "Config": "wgpy.config",
    "ConfigError": "wgpy.config",
    "Engine": "wgpy.engine.engine",
    "DeviceStatus": "wgpy.model",
    "DeviceUpdate": "wgpy.model",
    "Endpoint": "wgpy.contract.endpoint",
    "Interface": "wgpy.driver.interface",
    "PeerConfig": "wgpy.config",
    "PeerStatus": "wgpy.model",
    "PeerUpdate": "wgpy.model",
    "PortableDataPath": "wgpy.datapath.portable",
    "PresharedKey": "wgpy.keys",
    "PrivateKey": "wgpy.keys",
    "PublicKey": "wgpy.keys",
}

__all__ = [
    "AllowedIP",
    "AllowedIPChange",
    "Config",
    "ConfigError",
    "DeviceStatus",
    "DeviceUpdate",
    "Endpoint",
    "Engine",
    "Interface",
    "PeerConfig",
    "PeerStatus",
    "PeerUpdate",
    "PortableDataPath",
    "PresharedKey",
    "PrivateKey",
    "PublicKey",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module. PEP 562."""
    value: object
    if name == "__version__":
        value = import_module("importlib.metadata").version("wgpy")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'wgpy' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
