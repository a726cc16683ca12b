"""`wgpy up` and `wgpy down`: bring up and take down the tunnel of a wg-quick file.

Invariant: a command that fails half-way restores the host's former state: each step of `up` registers its
undo before the next step begins. `plan` computes the steps.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from wgpy.cli import daemon, files, hooks, network, plan
from wgpy.cli.changes import interruptible, need_root, quietly, warn
from wgpy.cli.errors import CommandError
from wgpy.cli.files import find_config, warn_if_others_can_read
from wgpy.cli.host import Host
from wgpy.cli.resolve import resolving
from wgpy.config import Config, load, to_update, warnings, with_status
from wgpy.endpoint_names import names_of, write_names
from wgpy.host.links import find_owned, tunnel_owner
from wgpy.model import DeviceStatus, DeviceUpdate
from wgpy.uapi import client as uapi_client

# -- up --------------------------------------------------------------------------------------------


def up(name_or_file: str, *, verbose: bool, persistent: bool = False) -> None:
    """Bring a tunnel up. Raises CommandError, ConfigError or InterfaceError, and then what it made is gone.

    persistent: let the interface with its routes outlive its daemon.
    """
    interface, path = find_config(name_or_file)
    need_root("up")
    config = load(path)
    warn_if_others_can_read(path)
    for text in warnings(config):
        warn(text)
    host = Host(verbose=verbose)
    host.check_ip()
    if interface in uapi_client.interfaces():
        raise CommandError(f"{interface} is already up; `wgpy down {name_or_file}` takes it down")
    if _is_persistent(interface):
        with interruptible():
            print(_take_over(host, interface, path, config))
        return
    if host.query_ip("link", "show", "dev", interface):
        raise CommandError(f"a network interface {interface} exists that is not wgpy's; choose another name")
    if _is_left_over(host, interface):
        _clean_up(host, interface, path, config)
    with interruptible(), ExitStack() as undo:
        summary = _bring_up(host, interface, path, config, undo, persistent=persistent)
        files.record(interface, path)
        undo.pop_all()
    print(summary)


def _bring_up(
    host: Host, interface: str, path: Path, config: Config, undo: ExitStack, *, persistent: bool
) -> str:
    variables = hooks.variables(interface, path, config)
    host.run_hooks("PreUp", config.pre_up, variables)
    settings = to_update(config, resolving(config))
    leads = plan.leading_to(endpoints_of(settings))
    mark = config.fwmark or (network.free_table(host) if plan.own_table(config, leads) else 0)
    update = replace(settings, fwmark=mark)

    daemon.start(host, interface, persistent=persistent)
    undo.callback(quietly, lambda: daemon.stop(host, interface))
    undo.callback(write_names, interface, {})
    write_names(interface, names_of(config))
    uapi_client.set_(interface, update)

    host.ip(plan.address_lines(interface, config))
    mtu = config.mtu or plan.tunnel_mtu(_route_mtus(host, uapi_client.get(interface)))
    host.ip([f"link set mtu {mtu} up dev {interface}"])
    if config.dns:
        undo.callback(quietly, lambda: network.unset_dns(host, interface))
        network.set_dns(host, interface, config)

    routes = plan.plan_routes(interface, config, mark, leads)
    host.ip(routes.lines)
    if routes.own_table:
        undo.callback(quietly, lambda: network.reset_src_valid_mark(host))  # the last of these three
        undo.callback(quietly, lambda: network.remove_rules(host, mark))
        undo.callback(quietly, lambda: network.remove_firewall(host, interface))
        if 4 in routes.families:
            network.accept_marked_answers(host)
        network.protect(host, interface, config, mark, routes.families)
        network.add_rules(host, mark, routes.own_table)
    host.run_hooks("PostUp", config.post_up, variables)
    return plan.summary(interface, config, mtu, routes)


def endpoints_of(update: DeviceUpdate) -> list[str]:
    """Return the addresses of the peers."""
    return [peer.endpoint.address for peer in update.peers if peer.endpoint]


def _is_persistent(interface: str) -> bool:
    """Whether there is a persistent interface of wgpy's, with or without its daemon."""
    return find_owned(tunnel_owner(interface)) is not None


def _take_over(host: Host, interface: str, path: Path, config: Config) -> str:
    """Give a persistent interface a new daemon; its routes and rules stay in force all the time.

    Hooks do not run, as the interface never went down. Raises CommandError, InterfaceError.
    """
    mark = config.fwmark or network.mark_of(host, interface)
    update = replace(to_update(config, resolving(config)), fwmark=mark)
    routes = plan.plan_routes(interface, config, mark, plan.leading_to(endpoints_of(update)))
    daemon.start(host, interface, persistent=True)
    write_names(interface, names_of(config))
    uapi_client.set_(interface, update)
    mtu = config.mtu or plan.tunnel_mtu(_route_mtus(host, uapi_client.get(interface)))
    lines = [*plan.address_lines(interface, config), *routes.lines]
    host.ip(
        [f"link set mtu {mtu} up dev {interface}", *(line.replace(" add ", " replace ", 1) for line in lines)]
    )
    files.record(interface, path)
    return plan.summary(interface, config, mtu, routes)


def _route_mtus(host: Host, status: DeviceStatus) -> list[int]:
    """Return the MTU of the route to each peer, or else of the default route."""
    addresses = [peer.endpoint.address for peer in status.peers if peer.endpoint]
    routes = [route for address in addresses for route in host.query_ip("route", "get", address)]
    return [
        mtu
        for route in routes or host.query_ip("route", "show", "default")
        if (mtu := _route_mtu(host, route))
    ]


def _route_mtu(host: Host, route: plan.Json) -> int:
    for metrics in route.get("metrics", ()):
        if "mtu" in metrics:
            return int(metrics["mtu"])
    links = host.query_ip("link", "show", "dev", route["dev"]) if "dev" in route else []
    return int(links[0].get("mtu", 0)) if links else 0


# -- down ------------------------------------------------------------------------------------------


def down(name_or_file: str, *, verbose: bool) -> None:
    """Take a tunnel down. Raises CommandError, ConfigError or InterfaceError."""
    interface, path = files.find_running(name_or_file)
    need_root("down")
    config = load(path)
    host = Host(verbose=verbose)
    if interface in uapi_client.interfaces():
        _take_down(host, interface, path, config)
    elif _is_left_over(host, interface):
        _clean_up(host, interface, path, config)
    else:
        raise CommandError(f"{interface} is not up")


def _take_down(host: Host, interface: str, path: Path, config: Config) -> None:
    variables = hooks.variables(interface, path, config)
    host.run_hooks("PreDown", config.pre_down, variables)
    status = uapi_client.get(interface)
    if config.save_config:
        files.save(path, with_addresses(with_status(config, status), host, interface))
    # Rules first: they must not refer to a table whose routes went with the link.
    marks = {status.fwmark} if network.is_table_of(host, interface, status.fwmark) else set()
    _remove_traces(host, interface, config, marks)
    daemon.stop(host, interface)
    files.forget(interface)
    host.run_hooks("PostDown", config.post_down, variables)


def _is_left_over(host: Host, interface: str) -> bool:
    """Whether an interface that is not up has left something: its daemon was killed, or its link deleted."""
    return files.is_recorded(interface) or network.has_firewall(host, interface) or _is_persistent(interface)


def _clean_up(host: Host, interface: str, path: Path, config: Config) -> None:
    """Remove what is left of an interface without a daemon. What fails is a warning, so that all is tried."""
    warn(f"the daemon of {interface} has ended by itself; what is left of {interface} is removed")
    variables = hooks.variables(interface, path, config)
    with _warning():
        host.run_hooks("PreDown", config.pre_down, variables)
    if _is_persistent(interface):
        with _warning():
            host.run(["ip", "link", "delete", "dev", interface])
    with _warning():
        _remove_traces(host, interface, config, network.unused_marks(host))
    files.forget(interface)
    with _warning():
        host.run_hooks("PostDown", config.post_down, variables)


@contextmanager
def _warning() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        warn(str(error))


def _remove_traces(host: Host, interface: str, config: Config, marks: Iterable[int]) -> None:
    """Remove what does not go with the link. With a Table of its own the file's hooks make the rules."""
    if config.dns:
        quietly(lambda: network.unset_dns(host, interface))
    for mark in marks if config.table in (None, "auto") else ():
        network.remove_rules(host, mark)
    network.remove_firewall(host, interface)
    network.reset_src_valid_mark(host)


def with_addresses(config: Config, host: Host, interface: str) -> Config:
    """Return the configuration with the interface's present addresses and, if the file sets one, MTU."""
    links = host.query_ip("address", "show", "dev", interface)
    if not links:
        return config
    addresses = tuple(
        ip_interface(f"{info['local']}/{info['prefixlen']}")
        for info in links[0].get("addr_info", ())
        if info.get("scope") == "global"
    )
    return replace(config, addresses=addresses, mtu=links[0].get("mtu") if config.mtu else None)
