"""Nodes of a mesh that follow a real API server, with the rights that daemon/deploy/kubernetes gives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import ParamSpec
from uuid import uuid4

from tests.kubernetes.controlplane import ControlPlane
from tests.kubernetes.overlay import rbac_rules
from tests.mesh.followers import FollowingNode, a_cluster
from wgpyd.options import KubernetesOptions

P = ParamSpec("P")


def in_a_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test that is a coroutine, as long as a control plane on a busy machine takes."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def scenario() -> None:
            await test(*args, **kwargs)

        asyncio.run(scenario())

    return run


@asynccontextmanager
async def following(
    plane: ControlPlane, folder: Path, role: str = ""
) -> AsyncIterator[tuple[FollowingNode, FollowingNode, str]]:
    """Give a node that follows the Node of a name that nobody has yet, and another that follows another."""
    name = f"worker-{uuid4().hex[:8]}"
    token = folder / "token"
    token.write_text(plane.make_account(rbac_rules()).token)
    options = KubernetesOptions(plane.url, str(token), str(plane.ca_file), node=name, role=role)
    elsewhere = replace(options, node=f"{name}-other")
    async with (
        a_cluster(folder, (*plane.ranges.pods, *plane.ranges.services)) as cluster,
        cluster.node(1, options) as node,
        cluster.node(2, elsewhere) as other,
    ):
        yield node, other, name
