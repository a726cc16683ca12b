"""Joins pods of a host to ranges, as the agent does; runs on hosts.

podhost.py FILE MTU RANGE...       of a mesh whose interface is wg0; prints warnings, as JSON
"""

import asyncio
import json
import sys
from ipaddress import ip_network
from pathlib import Path

from wgpyd.agent.reconcile.pods import PodHost


def main(file: str, mtu: str, *ranges: str) -> None:
    host = PodHost(Path(file), 7)
    asyncio.run(host.apply(tuple(ip_network(text) for text in ranges), int(mtu), "wg0"))
    print(json.dumps(host.warnings))


if __name__ == "__main__":
    main(*sys.argv[1:])
