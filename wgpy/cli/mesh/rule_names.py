"""Names in the rules that a node reports, which does not know the nodes that no rule joins it with."""

import asyncio
import re
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from wgpy.cli.mesh import networks
from wgpy.contract.errors import WgpyError
from wgpy.node.agent_client import Rule, Status

_IDENTITY: Final = re.compile(r"(?<=node:)[A-Za-z0-9+/]{43}=")
_PATIENCE: Final = 3.0  # seconds, for the coordinator


def with_names(status: Status) -> Status:
    """Return a status with names in place of identities, if the network's key is here to ask for them."""
    texts = [text for rule in status.rules for text in (rule.source, rule.destination)]
    if not any(map(_IDENTITY.search, texts)) or not networks.key_path(status.network).exists():
        return status
    names = asyncio.run(_names(status.network))

    def named(rule: Rule) -> Rule:
        return replace(rule, source=_named(rule.source, names), destination=_named(rule.destination, names))

    return replace(status, rules=tuple(map(named, status.rules)))


def _named(text: str, names: Mapping[str, str]) -> str:
    return _IDENTITY.sub(lambda found: names.get(found[0], found[0]), text)


async def _names(network: str) -> dict[str, str]:
    """Return the names of nodes by their identities; none while the coordinator does not answer."""
    from wgpy.cli.mesh.administrator import administrator

    with suppress(WgpyError, OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE), administrator(Namespace(key=None, network=network)) as admin:
            return {str(key): name for key, name in admin.names.items()}
    return {}
