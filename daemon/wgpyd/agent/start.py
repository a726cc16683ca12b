"""From a folder on disk to a running node."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from wgpy.driver.interface import Interface
from wgpy.host.iproute import IpFailed, check_ip
from wgpy.host.tun import check_name
from wgpy.mesh.records import NAME
from wgpy.node.agent_client import socket_path
from wgpy.node.files import NODES, NodeFile, StorageError
from wgpyd.errors import StartError
from wgpyd.options import KubernetesOptions

from .agent import Agent
from .api import local_api, port_of
from .reconcile.gateway import TCP


def interface_of(network: str) -> str:
    """Return the interface of this host's node. Raises StartError."""
    name = _load(network).interface
    try:
        check_name(name)
    except ValueError as error:
        raise StartError(f"the interface `{name}` of {network} cannot be used: {error}") from None
    return name


def is_running(network: str) -> bool:
    """Whether an agent of the network answers at its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(socket_path(network))) == 0


def open_agent(
    network: str, interface: Interface, metrics: str, kubernetes: KubernetesOptions | None = None
) -> AbstractAsyncContextManager[Callable[[], None]]:
    """Read what the node knows; it is up inside the context, whose entry raises StartError, as does this.

    The context gives what to call after another program has configured the interface.
    """
    try:
        check_ip()
        folder, node = _folder(network), _load(network)
        agent = Agent(network, folder, node, interface)
    except (IpFailed, StorageError) as error:
        raise StartError(str(error)) from None
    if kubernetes is not None:
        agent.cluster.follow(kubernetes)
        if kubernetes.cni:
            from .reconcile.pods import PodHost  # noqa: PLC0415 - of clusters' nodes alone

            agent.reconciler.pods = PodHost(Path(kubernetes.cni), node.routing_table)
    return _run(agent, metrics)


@asynccontextmanager
async def _run(agent: Agent, metrics: str) -> AsyncIterator[Callable[[], None]]:
    """Raises StartError."""
    agent.reconciler.gateway.ports = ((TCP, port_of(metrics)),)
    async with local_api(agent.control, socket_path(agent.name), metrics):
        try:
            is_up = await agent.start()
        except OSError as error:
            port = agent.identity.node.listen_port
            raise StartError(f"the port {port} of this node cannot be used: {error.strerror}") from None
        try:
            if not is_up:
                raise StartError(f"ended before this node knew what {agent.name} is")
            yield agent.control.interface_changed
        finally:
            await agent.stop()


def _folder(network: str) -> Path:
    if not NAME.fullmatch(network):
        raise StartError(f"`{network}` is no name of a network: want a-z, 0-9 and -")
    return NODES / network


def _load(network: str) -> NodeFile:
    """Raises StartError."""
    folder = _folder(network)
    if not folder.exists():
        raise StartError(f"this host has not joined {network}: `wgpy mesh join` it with a token")
    try:
        node = NodeFile.load(folder)
    except StorageError as error:
        raise StartError(str(error)) from None
    if node.paused:
        raise StartError(f"{network} is paused on this host: `wgpy mesh up --network {network}` resumes it")
    return node
