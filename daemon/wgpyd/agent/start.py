"""From a folder on disk to a running node."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from wgpy.driver.interface import Interface
from wgpy.host.iproute import IpFailed, check_ip
from wgpy.host.tun import check_name
from wgpy.mesh.records import NAME
from wgpy.node.agent_client import socket_path
from wgpy.node.files import NODES, NodeFile, StorageError
from wgpyd.errors import StartError
from wgpyd.options import KubernetesOptions
from wgpyd.part import Part
from wgpyd.socketfile import SocketFile

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
) -> Callable[[int], AbstractAsyncContextManager[Part]]:
    """Read what the node knows, and return what runs it; it is up inside that context. All raise StartError.

    What is returned takes a descriptor: of the local API's socket, -1 if no earlier process left it.
    """
    first = [_new_agent(network, interface, kubernetes)]

    def run(fd: int) -> AbstractAsyncContextManager[Part]:
        agent = first.pop() if first else _new_agent(network, interface, kubernetes)
        return _run(agent, metrics, fd)

    return run


def _new_agent(network: str, interface: Interface, kubernetes: KubernetesOptions | None) -> Agent:
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
    return agent


@asynccontextmanager
async def _run(agent: Agent, metrics: str, fd: int) -> AsyncIterator[Part]:
    """Raises StartError."""
    agent.reconciler.gateway.ports = ((TCP, port_of(metrics)),)
    api = partial(local_api, agent.control, socket_path(agent.name), metrics, fd=fd)
    async with AsyncExitStack() as stack:
        if fd < 0:
            socket_file = await stack.enter_async_context(api())
        stack.push_async_callback(agent.stop)
        await _start(agent)
        if fd >= 0:  # who asks waits rather than learns that this starts
            socket_file = await stack.enter_async_context(api())
        yield Part(agent.control.interface_changed, lambda: _leave(agent, socket_file))


async def _start(agent: Agent) -> None:
    """Raises StartError."""
    try:
        is_up = await agent.start()
    except OSError as error:
        port = agent.identity.node.listen_port
        raise StartError(f"the port {port} of this node cannot be used: {error.strerror}") from None
    if not is_up:
        raise StartError(f"ended before this node knew what {agent.name} is")


def _leave(agent: Agent, socket_file: SocketFile) -> int:
    """Have the next process find what this one has from the host and from routers."""
    agent.names.leave()
    agent.paths.mapping.leave()
    return socket_file.leave()


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
