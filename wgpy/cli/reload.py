"""`wgpy reload`, `wgpy save` and `wgpy strip`: the other ways between a file and the interface that is up.

`reload` compares the file with the interface as it is: the sessions of peers that stay are not touched. New
addresses and routes come before the peers change, old ones go after. If something new is refused, nothing has
changed.
"""

import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from wgpy.cli import files, network, plan
from wgpy.cli.changes import interruptible, need_root, quietly, warn
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.resolve import resolving
from wgpy.cli.tunnel import endpoints_of, with_addresses
from wgpy.config import Config, load, to_reload, to_update, warnings, wg_text, with_status
from wgpy.endpoint_names import names_of, read_names, write_names
from wgpy.host import links
from wgpy.model import DeviceStatus, DeviceUpdate
from wgpy.uapi import client as uapi_client


@dataclass(frozen=True, slots=True)
class _State:
    """What an interface has, or shall have."""

    config: Config
    mark: int
    routes: plan.RoutePlan


def reload(name_or_file: str, *, verbose: bool) -> None:
    """Bring a changed file in. Raises CommandError, ConfigError or InterfaceError."""
    interface, path, config = _running("reload", name_or_file)
    for text in warnings(config):
        warn(text)
    host = Host(verbose=verbose)
    host.check_ip()
    status = uapi_client.get(interface)
    present = with_addresses(with_status(config, status), host, interface)
    # Of the host, and not by where peers are: they may have roamed since.
    led = network.prefixes_of_table(host, interface, status.fwmark)
    leads = plan.leading_to(endpoints_of(to_update(config, resolved := resolving(config))))
    old = _state(interface, present, status.fwmark, led.__contains__)
    new = _state(interface, config, _mark(host, config, status, leads), leads)
    with interruptible():
        _change(host, interface, to_reload(config, status, new.mark, resolved), old, new)
    files.record(interface, path)
    print(f"{interface} has what {path} says.")


def save(name_or_file: str, *, verbose: bool) -> None:
    """Write the interface as it is into its file. Raises CommandError, ConfigError or InterfaceError."""
    interface, path, config = _running("save", name_or_file)
    status = uapi_client.get(interface)
    files.save(path, with_addresses(with_status(config, status), Host(verbose=verbose), interface))


def strip(name_or_file: str) -> None:
    """Print what wg(8) takes of a file, secret keys and all. Raises CommandError or ConfigError."""
    print(wg_text(load(files.find_running(name_or_file)[1])), end="")


def _running(command: str, name_or_file: str) -> tuple[str, Path, Config]:
    interface, path = files.find_running(name_or_file)
    need_root(command)
    config = load(path)
    if interface not in uapi_client.interfaces():
        raise CommandError(f"{interface} is not up; `wgpy up {name_or_file}` brings it up")
    return interface, path, config


def _mark(host: Host, config: Config, status: DeviceStatus, leads: plan.Leads) -> int:
    if config.fwmark or not plan.own_table(config, leads):
        return config.fwmark or 0
    return status.fwmark or network.free_table(host)


def _state(interface: str, config: Config, mark: int, leads: plan.Leads) -> _State:
    return _State(config, mark, plan.plan_routes(interface, config, mark, leads))


def _change(host: Host, interface: str, update: DeviceUpdate, old: _State, new: _State) -> None:
    added = plan.without(_lines(interface, new), _lines(interface, old))
    removed = plan.without(_lines(interface, old), _lines(interface, new))
    with ExitStack() as undo:
        undo.callback(_remove_each, host, reversed(added))
        host.ip(added)
        if new.config.mtu:
            host.ip([f"link set mtu {new.config.mtu} dev {interface}"])
        undo.callback(write_names, interface, read_names(interface))
        write_names(interface, names_of(new.config))
        uapi_client.set_(interface, update)
        undo.pop_all()
    _change_own_table(host, interface, old, new)
    if new.config.dns:
        network.set_dns(host, interface, new.config)
    with suppress(OSError):  # it has gone
        links.keep_secondary_addresses(socket.if_nametoindex(interface))
    _remove_each(host, reversed(removed))


def _lines(interface: str, state: _State) -> list[str]:
    return [*plan.address_lines(interface, state.config), *state.routes.lines]


def _remove_each(host: Host, added: Iterable[str]) -> None:
    """Undo lines of `ip -batch`; what has gone by itself is no error."""
    for line in added:
        quietly(host.ip, [line.replace(" add ", " delete ", 1)])


def _change_own_table(host: Host, interface: str, old: _State, new: _State) -> None:
    kept = {*old.routes.own_table} & {*new.routes.own_table} if old.mark == new.mark else set()
    network.add_rules(host, new.mark, [family for family in new.routes.own_table if family not in kept])
    network.remove_rules(host, old.mark, [family for family, _ in {*old.routes.own_table} - kept])
    if 4 in new.routes.families:
        network.accept_marked_answers(host)
    else:
        network.reset_src_valid_mark(host)
    if old.routes.own_table or new.routes.own_table:
        network.remove_firewall(host, interface)
    if new.routes.own_table:
        network.protect(host, interface, new.config, new.mark, new.routes.families)
