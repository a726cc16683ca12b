"""Changes a host for the networks behind it, as the agent of a gateway does; runs on hosts.

gatewayhost.py apply|obstacles|undo NOTE PREFIX... [--open]       of a mesh whose interface is wg0
"""

import json
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

from wgpy.host.gateway import Gateway, HostChanges, undo
from wgpy.host.masquerade import Masquerade
from wgpy.host.passages import Mesh, obstacles, passages
from wgpyd.agent.reconcile.gateway import read_own_addresses

_TABLE = 7
_MESH = Mesh("wg0", {4: ip_address("10.20.0.1"), 6: ip_address("fd20::1")})
_OWN = (ip_address("10.20.0.2"), ip_address("fd20::2"))
_SOURCES = (ip_network("10.20.0.0/24"), ip_network("fd20::/64"))


def main(verb: str, note: str, *more: str) -> None:
    prefixes = tuple(ip_network(text) for text in more if text != "--open")
    own = read_own_addresses(
        json.loads(subprocess.run(["ip", "-json", "address"], check=True, capture_output=True).stdout), "wg0"
    )
    found = passages(_MESH, prefixes, own)
    match verb:
        case "apply":
            changes = HostChanges(
                Masquerade("wg0", _OWN, _SOURCES, prefixes, prefixes), found if "--open" in more else ()
            )
            gateway = Gateway(_TABLE, Path(note))
            print(json.dumps(gateway.apply(changes, own).failures))
        case "obstacles":
            known = obstacles(found, own)
            print(json.dumps([*known.ways, *known.closed]))
        case "undo":
            undo(_TABLE, Path(note))


if __name__ == "__main__":
    main(*sys.argv[1:])
