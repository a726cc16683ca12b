"""By which interfaces what is for the mesh's own sockets comes in, though their filter is strict."""

import asyncio
from typing import Final

from wgpy.host.iproute import ask_ip
from wgpy.host.links import links, mesh_owner
from wgpy.host.reverse_path import OwnSockets, accept, may_need_changes, strict_interfaces
from wgpy.mesh.plan import Routing

_MESH: Final = mesh_owner("")


async def accept_own(routing: Routing) -> None:
    """Raises IpFailed, NftFailed, OSError."""
    if await asyncio.to_thread(may_need_changes):
        sockets = OwnSockets(routing.table, routing.mark, routing.coordinator_port)
        await asyncio.to_thread(accept, sockets, strict_interfaces(await _interfaces()))


async def _interfaces() -> list[str]:
    """Return those with an IPv4 address, without the meshes': those of pods and containers have none."""
    names = {link["ifname"] for link in await ask_ip("-4", "address") if link.get("addr_info")}
    meshes = {link.name for link in links() if link.alias.startswith(_MESH)}
    return sorted(names - meshes - {"lo"})
