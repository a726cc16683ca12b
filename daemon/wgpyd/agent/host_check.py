"""What of a host is in the way of its node: networks and routes within the mesh, and no forwarding.

Linux ip-sysctl.rst
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.plan import Peer
from wgpy.mesh.records import Network
from wgpy.node.overlaps import Overlap, describe_overlaps

from .host_networks import HostNetworks
from .warnings import Warnings

_SETTINGS: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_SYSCTLS: Final = Path("/proc/sys")


class HostCheck:
    """Of one node. overlaps: those found last."""

    def __init__(self, warnings: Warnings) -> None:
        self._warnings = warnings
        self.overlaps: Sequence[Overlap] = ()

    def compare(
        self, network: Network, peers: Iterable[Peer], announced: Iterable[Prefix], host: HostNetworks
    ) -> None:
        """Warn of what is in the way now. announced: by this node."""
        self.overlaps = find_overlaps(network, peers, host)
        self._warnings.set_all("overlap", [overlap.text for overlap in self.overlaps])
        self._warnings.set_all("forwarding", unforwarded(announced, host))


def find_overlaps(network: Network, peers: Iterable[Peer], host: HostNetworks) -> tuple[Overlap, ...]:
    """Return where ranges of the network, and prefixes that its nodes announce, meet those of the host.

    Announced prefixes that overlap a network of the host are not used here, nor are those that the host has a
    route to: those have sentences of their own.
    """
    ranges: dict[Prefix, str] = dict.fromkeys(
        (network.addresses, network.addresses6), f"the range of {network.name}"
    )
    announced = {route: f"announced by {peer.member.name}" for peer in peers for route in peer.routes}
    others = {prefix: by for prefix, by in host.routes.items() if prefix not in announced}
    return (
        *describe_overlaps(ranges, {**host.routes, **host.networks}),
        *describe_overlaps(announced, others),
    )


def unforwarded(announced: Iterable[Prefix], host: HostNetworks, sysctls: Path = _SYSCTLS) -> list[str]:
    """Return a sentence for each version of IP that the host would have to forward, and does not.

    An address of the host itself needs no forwarding.
    """
    behind = [prefix for prefix in announced if prefix.num_addresses > 1 or prefix not in host.networks]
    return list(_unforwarded(behind, sysctls))


def _unforwarded(behind: Iterable[Prefix], sysctls: Path) -> Iterator[str]:
    for version, setting in _SETTINGS.items():
        prefixes = [str(prefix) for prefix in behind if prefix.version == version]
        if prefixes and _is_off(sysctls / setting.replace(".", "/")):
            yield (
                f"this node announces {', '.join(prefixes)}, but its host does not forward IPv{version}: "
                f"`sysctl -w {setting}=1`, and a file in /etc/sysctl.d, let packets through"
            )


def _is_off(setting: Path) -> bool:
    try:
        return setting.read_text().strip() == "0"
    except OSError:  # no such version of IP
        return False
