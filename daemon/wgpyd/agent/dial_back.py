"""Whether a firewall lets nothing in that this host did not ask for, though no address is translated.

Each relay that answers is asked to answer from another port, which nothing was sent to. Nobody but who asked
is dialled so. A relay of an earlier version does neither that nor answer later, which shows that it cannot.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey

from .pings import Pings

_MOMENT: Final = 1  # seconds, after which a relay answers that can answer from another port, too


async def is_filtered(pings: Pings, relays: Mapping[PublicKey, Endpoint]) -> bool:
    """Whether no relay dials back, and one of them is able to. Takes up to five seconds if so."""
    if not relays or await pings.is_dialled_back(relays):
        return False
    later = (pings.ask_after(relay, endpoint, _MOMENT) for relay, endpoint in relays.items())
    return any(await asyncio.gather(*later))
