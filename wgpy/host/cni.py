"""The file by which a container runtime joins pods by a bridge, with addresses of this node's ranges.

Invariant: it is replaced as a whole, and only if it is ours; a runtime that watches the folder never reads
half of it. After a change of range `forceAddress` gives the bridge its new address with the next pod.
CNI specification 0.4.0; plugins bridge, host-local and portmap
"""

import json
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from wgpy.contract.errors import WgpyError

Prefix = IPv4Network | IPv6Network

BRIDGE: Final = "cni0"
_NAME: Final = "wgpy"


class CniFailed(WgpyError):
    """The message is the reason, and what to do."""


def conflist(ranges: Sequence[Prefix], mtu: int) -> str:
    """Return the file. ranges: of this node's pods, one of each version of IP; mtu: of the mesh."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": True,
        "forceAddress": True,
        "hairpinMode": True,
        "mtu": mtu,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": str(one)}] for one in ranges]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": _NAME, "plugins": [bridge, portmap]}, indent=2) + "\n"


def write_conflist(path: Path, text: str) -> bool:
    """Make a file what it is to be; return whether it was not. Raises CniFailed, also for another's file."""
    if _read_own(path) == text:
        return False
    # No runtime reads a file of this ending.
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text)
        new.chmod(0o644)
        new.replace(path)
    except OSError as error:
        raise CniFailed(f"{path} cannot be written: {error.strerror}") from None
    return True


def remove_conflist(path: Path) -> None:
    """Remove it, unless it is another's. Raises CniFailed."""
    try:
        found = _read_own(path)
    except CniFailed:
        return
    try:
        if found:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise CniFailed(f"{path} cannot be removed: {error.strerror}") from None


def _read_own(path: Path) -> str:
    """Return "" for one that is not there. Raises CniFailed for one that is not ours."""
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError):
        text = ""
    if not _is_own(text):
        raise CniFailed(f"{path} is not of wgpy: move it away, or name another file with --cni")
    return text


def _is_own(text: str) -> bool:
    try:
        return bool(json.loads(text)["name"] == _NAME)
    except (ValueError, TypeError, KeyError):
        return False
