"""`wgpy show`: the status of interfaces, as text and as JSON."""

import sys
import time
from collections.abc import Iterator, Mapping

from wgpy.address import format_prefix
from wgpy.cli.documents import Counters, Interfaces, ShownInterface, ShownPeer
from wgpy.contract.constants import SECOND
from wgpy.keys import PresharedKey, PrivateKey
from wgpy.model import DeviceStatus, PeerStatus
from wgpy.node.document import text as json_text
from wgpy.uapi import client as uapi_client


def show(interface: str, *, as_json: bool, show_keys: bool) -> None:
    """Print one interface, or with "all" every interface that a daemon serves. Raises InterfaceError."""
    states = _states(interface)
    if as_json:
        shown = {name: json_value(status, show_keys=show_keys) for name, status in states.items()}
        document: Interfaces = {"interfaces": shown}
        print(json_text(document))
        return
    if not states:
        print("wgpy: no interface is up; `wgpy up FILE` brings one up.", file=sys.stderr)
    print(_texts(states, show_keys=show_keys), end="")


def watch_interfaces(interface: str, seconds: int, *, show_keys: bool) -> None:
    """Show in place what `show` prints. Raises UsageError, and InterfaceError as `show` does."""
    from wgpy.cli.watch import watch

    watch("wgpy show", lambda: _texts(_states(interface), show_keys=show_keys), seconds)


def _states(interface: str) -> dict[str, DeviceStatus]:
    """Raises InterfaceError."""
    names = uapi_client.interfaces() if interface == "all" else [interface]
    return {name: uapi_client.get(name) for name in names}


def _texts(states: Mapping[str, DeviceStatus], *, show_keys: bool) -> str:
    now = time.time_ns()
    return "\n".join(text(name, status, now, show_keys=show_keys) for name, status in states.items())


def show_counters(interface: str, *, as_json: bool) -> None:
    """Print the drop counters of one interface, or with "all" of every one. Raises InterfaceError."""
    names = uapi_client.interfaces() if interface == "all" else [interface]
    counters = {name: uapi_client.counters(name) for name in names}
    if as_json:
        document: Counters = {"interfaces": counters}
        print(json_text(document))
    else:
        print("\n".join(counters_text(name, counts) for name, counts in counters.items()), end="")


# -- for programs ----------------------------------------------------------------------------------


def json_value(status: DeviceStatus, *, show_keys: bool) -> ShownInterface:
    """Return an interface in types of JSON, without secret keys unless show_keys."""
    value: ShownInterface = {
        "public_key": status.private_key.public_key().base64() if status.private_key else None,
        "listen_port": status.listen_port or None,
        "fwmark": status.fwmark or None,
        "peers": [_json_peer(peer, show_keys=show_keys) for peer in status.peers],
    }
    if show_keys:
        value["private_key"] = status.private_key.base64() if status.private_key else None
    return value


def _json_peer(peer: PeerStatus, *, show_keys: bool) -> ShownPeer:
    value: ShownPeer = {
        "public_key": peer.public_key.base64(),
        "has_preshared_key": bool(peer.preshared_key),
        "endpoint": str(peer.endpoint) if peer.endpoint else None,
        "allowed_ips": [format_prefix(prefix) for prefix in peer.allowed_ips],
        "latest_handshake": peer.last_handshake_time / SECOND if peer.last_handshake_time else None,
        "rx_bytes": peer.rx_bytes,
        "tx_bytes": peer.tx_bytes,
        "persistent_keepalive": peer.persistent_keepalive or None,
    }
    if show_keys:
        value["preshared_key"] = peer.preshared_key.base64() if peer.preshared_key else None
    return value


# -- for people ------------------------------------------------------------------------------------


def text(name: str, status: DeviceStatus, now: int, *, show_keys: bool) -> str:
    """Return an interface as text, peers with the latest handshake first. now: ns since 1970."""
    lines = [f"interface: {name}"]
    if status.private_key:
        lines.append(f"  public key: {status.private_key.public_key()}")
        lines.append(f"  private key: {_secret(status.private_key, show_keys)}")
    else:
        lines.append("  private key: none, so no peer can be reached")
    if status.listen_port:
        lines.append(f"  listening port: {status.listen_port}")
    if status.fwmark:
        lines.append(f"  fwmark: {status.fwmark:#x}")
    for peer in sorted(status.peers, key=lambda peer: -peer.last_handshake_time):
        lines += ["", *_peer_lines(peer, now, show_keys)]
    return "\n".join(lines) + "\n"


def counters_text(name: str, counters: Mapping[str, int]) -> str:
    """Return the drop counters of an interface as text, the most frequent reason first."""
    lines = [f"interface: {name}"]
    most_first = sorted(counters.items(), key=lambda counter: (-counter[1], counter[0]))
    lines += [f"  {reason}: {count}" for reason, count in most_first]
    if not counters:
        lines.append("  nothing was dropped")
    return "\n".join(lines) + "\n"


def _peer_lines(peer: PeerStatus, now: int, show_keys: bool) -> Iterator[str]:
    yield f"peer: {peer.public_key}"
    if peer.preshared_key:
        yield f"  preshared key: {_secret(peer.preshared_key, show_keys)}"
    if peer.endpoint:
        yield f"  endpoint: {peer.endpoint}"
    yield f"  allowed ips: {', '.join(map(format_prefix, peer.allowed_ips)) or 'none'}"
    if peer.last_handshake_time:
        yield f"  latest handshake: {ago(now - peer.last_handshake_time)}"
    if peer.rx_bytes or peer.tx_bytes:
        yield f"  transfer: {size(peer.rx_bytes)} received, {size(peer.tx_bytes)} sent"
    if peer.persistent_keepalive:
        yield f"  persistent keepalive: every {_count(peer.persistent_keepalive, 'second')}"


def _secret(key: PrivateKey | PresharedKey, show_keys: bool) -> str:
    return key.base64() if show_keys else "(hidden)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ago(elapsed: int) -> str:
    """Return a duration as text. elapsed: ns; negative if the clock was set back since."""
    if elapsed < 0:
        return "in the future; was the clock of this host set back?"
    seconds = elapsed // SECOND
    if seconds == 0:
        return "now"
    return f"{duration(seconds)} ago"


def duration(seconds: int) -> str:
    """Return a time of at least a second as text."""
    parts = []
    for noun, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(_count(number, noun))
    return ", ".join(parts)


def size(number: int) -> str:
    """Return a number of bytes in the unit that gives at most four digits before the point."""
    if number < 1024:
        return f"{number} B"
    amount = float(number)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.2f} {unit}"
    return f"{amount / 1024:.2f} TiB"
