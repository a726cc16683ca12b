"""The process in a tunnel's network: makes it, and then sockets and programs for the caller, until that ends.

It holds no key and moves no packet. It is a program of its own, as only a process with one thread may enter a
user namespace; it uses nothing but the standard library, so it starts fast.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any, Final, NoReturn

from wgpy.host import links, namespaces
from wgpy.host.addresses import add_address, add_route
from wgpy.host.tun import Tun
from wgpy.tunnel import channel, program
from wgpy.tunnel.channel import Message

Answer = tuple[dict[str, Any], list[int]]

_PING_GROUPS: Final = "net/ipv4/ping_group_range"  # who may ping; by default nobody, in a new network
_LOWEST_PORT: Final = "net/ipv4/ip_unprivileged_port_start"


def main(fileno: int, parent: int) -> NoReturn:
    """Serve the caller on a descriptor. parent: its process id; nothing outlives that process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    caller = socket.socket(fileno=fileno)
    caller.set_inheritable(False)
    watched = os.pidfd_open(parent)
    if os.getppid() == parent:
        with suppress(ConnectionError):
            _serve(caller, watched)
    os._exit(0)


def _serve(caller: socket.socket, parent: int) -> None:
    ended = select.poll()
    ended.register(caller, select.POLLIN)
    ended.register(parent, select.POLLIN)
    while parent not in dict(ended.poll()) and (request := channel.receive(caller)):
        values, filenos = _answer(request)
        channel.send(caller, values, filenos)
        for fileno in (*filenos, *request.filenos):
            os.close(fileno)


def _answer(request: Message) -> Answer:
    wanted = dict(request.values)
    verb = wanted.pop("do")
    try:
        return _VERBS[verb](filenos=request.filenos, **wanted)
    except OSError as error:
        return {"error": error.errno, "step": error.strerror}, []


def _step(name: str, step: Callable[..., Any], *arguments: Any) -> Any:
    """Raises OSError with the name of the step."""
    try:
        return step(*arguments)
    except OSError as error:
        raise OSError(error.errno, name) from None


# -- The network -----------------------------------------------------------------------------------


def _make(
    filenos: list[int], *, name: str, mtu: int, vnet_header: bool, addresses: list[str], routes: list[str]
) -> Answer:
    """Make namespaces and TUN. addresses: with prefix lengths."""
    _step("namespace", namespaces.enter_new_network)
    _step("lo", lambda: links.set_up(socket.if_nametoindex("lo")))
    _allow_what_needs_no_root()
    tun: Tun = _step("tun", lambda: Tun.open(name, vnet_header=vnet_header))
    held = os.dup(tun.fileno())
    tun.close()
    index = socket.if_nametoindex(name)
    for address in addresses:
        _step(f"address {address}", add_address, index, ip_interface(address))
    _step("link", links.set_up, index, mtu)
    for route in routes:
        _step(f"route {route}", _add_route, index, route)
    return {}, [held]


def _add_route(index: int, route: str) -> None:
    prefix = ip_network(route)
    add_route(index, prefix.network_address.packed, prefix.prefixlen)


def _allow_what_needs_no_root() -> None:
    """Let programs inside ping and listen on low ports: they disturb nobody else there."""
    for name, value in ((_PING_GROUPS, f"{os.getgid()} {os.getgid()}"), (_LOWEST_PORT, "0")):
        with suppress(OSError):  # /proc/sys is read-only in many containers
            Path("/proc/sys", name).write_text(value)


def _make_sockets(filenos: list[int], *, family: int, type: int, proto: int, count: int) -> Answer:
    """Make so many, or as many as there is room for."""
    made = [socket.socket(family, type, proto).detach()]
    with suppress(OSError):
        while len(made) < count:
            made.append(socket.socket(family, type, proto).detach())
    return {}, made


def _start_program(filenos: list[int], **wanted: Any) -> Answer:
    """filenos: of its standard streams, and of the pipe for its wait status."""
    *streams, status = filenos
    return {"pid": program.start(streams=streams, status=status, **wanted)}, []


_VERBS: Final[dict[str, Callable[..., Answer]]] = {
    "make": _make,
    "sockets": _make_sockets,
    "program": _start_program,
}
