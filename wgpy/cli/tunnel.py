"""`wgpy up` and `wgpy down`: bring up and take down the tunnel of a wg-quick file.

Invariant: a command that fails half-way restores the host's former state: each step of `up` registers its
undo before the next step begins. `plan` computes the steps.
"""

import os
import re
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Final

from wgpy.cli import daemon, hooks, plan
from wgpy.cli.changes import interruptible, need_root, quietly, warn
from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.resolve import resolve
from wgpy.config import Config, load, to_update, with_status, write
from wgpy.model import DeviceStatus
from wgpy.uapi import client as uapi_client

CONFIG_DIRECTORY: Final = Path("/etc/wireguard")
_INTERFACE_NAME: Final = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
_SRC_VALID_MARK: Final = "net.ipv4.conf.all.src_valid_mark"


def find_config(name_or_file: str) -> tuple[str, Path]:
    """Return the interface and the file that `up` and `down` were given. Raises CommandError."""
    if "/" in name_or_file or name_or_file.endswith(".conf"):
        path = Path(name_or_file)
        interface = path.name.removesuffix(".conf")
        if interface == path.name:
            raise CommandError(f"{path} must be named after its interface, as in wg0.conf")
    else:
        interface = name_or_file
        path = CONFIG_DIRECTORY / f"{interface}.conf"
    if not _INTERFACE_NAME.fullmatch(interface) or interface in (".", ".."):
        raise CommandError(
            f"`{interface}` cannot name an interface: want 1 to 15 letters, digits and the characters _=+.-"
        )
    return interface, path


# -- up --------------------------------------------------------------------------------------------


def up(name_or_file: str, *, verbose: bool) -> None:
    """Bring a tunnel up. Raises CommandError, ConfigError or InterfaceError, and then nothing has changed."""
    interface, path = find_config(name_or_file)
    need_root("up")
    config = load(path)
    _warn_if_others_can_read(path)
    host = Host(verbose=verbose)
    if interface in uapi_client.interfaces():
        raise CommandError(f"{interface} is already up; `wgpy down {name_or_file}` takes it down")
    if host.query_ip("link", "show", "dev", interface):
        raise CommandError(f"a network interface {interface} exists that is not wgpy's; choose another name")
    with interruptible(), ExitStack() as undo:
        _bring_up(host, interface, path, config, undo)
        undo.pop_all()


def _bring_up(host: Host, interface: str, path: Path, config: Config, undo: ExitStack) -> None:
    variables = hooks.variables(interface, path, config)
    host.run_hooks("PreUp", config.pre_up, variables)
    families = plan.full_tunnel_families(config)
    mark = config.fwmark or (_free_table(host) if families else 0)
    update = replace(to_update(config, resolve), fwmark=mark)

    daemon.start(host, interface)
    undo.callback(quietly, lambda: daemon.stop(host, interface))
    uapi_client.set_(interface, update)

    host.ip(plan.address_lines(interface, config))
    mtu = config.mtu or plan.tunnel_mtu(_route_mtus(host, uapi_client.get(interface)))
    host.ip([f"link set mtu {mtu} up dev {interface}"])
    if config.dns:
        undo.callback(quietly, lambda: _unset_dns(host, interface))
        _set_dns(host, interface, config)

    routes = plan.plan_routes(interface, config, mark)
    host.ip(routes.lines)
    if routes.full_tunnel:
        undo.callback(quietly, lambda: _remove_rules(host, mark))
        undo.callback(quietly, lambda: _remove_firewall(host, interface))
        if 4 in routes.full_tunnel:
            _accept_marked_answers(host, undo)
        _protect(host, interface, config, mark)
        for family in routes.full_tunnel:
            host.ip(plan.rule_lines(mark, _rules(host, f"-{family}")), f"-{family}")
    host.run_hooks("PostUp", config.post_up, variables)


def _free_table(host: Host) -> int:
    """Return the number of an unused routing table, which is also the mark."""
    table = plan.FIRST_TABLE
    while any(host.query_ip(family, "route", "show", "table", str(table)) for family in ("-4", "-6")):
        table += 1
    return table


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


def _accept_marked_answers(host: Host, undo: ExitStack) -> None:
    """Let strict reverse path filtering look up the route of an answer with the mark of its connection."""
    try:
        old = host.sysctl(_SRC_VALID_MARK, "1")
    except CommandError as error:
        warn(f"{error}; where rp_filter is 1, the answers of the peers are dropped")
    else:
        undo.callback(quietly, lambda: host.sysctl(_SRC_VALID_MARK, old))


def _protect(host: Host, interface: str, config: Config, mark: int) -> None:
    if shutil.which("nft"):
        host.run(["nft", "-f", "-"], plan.firewall_script(interface, config, mark))
    else:
        warn(f"nft is not installed, so packets reach the addresses of {interface} also outside the tunnel")


# -- down ------------------------------------------------------------------------------------------


def down(name_or_file: str, *, verbose: bool) -> None:
    """Take a tunnel down. Raises CommandError, ConfigError or InterfaceError."""
    interface, path = find_config(name_or_file)
    need_root("down")
    config = load(path)
    host = Host(verbose=verbose)
    if interface not in uapi_client.interfaces():
        raise CommandError(f"{interface} is not up")
    variables = hooks.variables(interface, path, config)
    host.run_hooks("PreDown", config.pre_down, variables)
    status = uapi_client.get(interface)
    if config.save_config:
        save(path, _with_addresses(with_status(config, status), host, interface))
    if config.dns:
        quietly(lambda: _unset_dns(host, interface))
    # Rules first: they must not refer to a table whose routes went with the link.
    if status.fwmark:
        _remove_rules(host, status.fwmark)
    _remove_firewall(host, interface)
    daemon.stop(host, interface)
    host.run_hooks("PostDown", config.post_down, variables)


def save(path: Path, config: Config) -> None:
    """Replace the file atomically and durably. Raises CommandError."""
    target = path.resolve()
    try:
        descriptor, name = tempfile.mkstemp(
            prefix=path.name, dir=target.parent
        )  # readable by its owner alone
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(write(config).encode(errors="surrogateescape"))
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
        except BaseException:
            temporary.unlink()
            raise
    except OSError as error:
        raise CommandError(f"{path} cannot be saved: {error.strerror}") from None


def _with_addresses(config: Config, host: Host, interface: str) -> Config:
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


# -- both ------------------------------------------------------------------------------------------


def _remove_rules(host: Host, mark: int) -> None:
    for family in ("-4", "-6"):
        host.ip(plan.rule_removal_lines(mark, _rules(host, family)), family)


def _rules(host: Host, family: str) -> list[plan.Json]:
    return host.query_ip("-N", family, "rule")  # -N: a table by its number, also if it has a name


def _remove_firewall(host: Host, interface: str) -> None:
    if shutil.which("nft"):
        table = plan.firewall_table(interface)
        # Added first, as deleting a missing table is an error.
        host.run(["nft", "-f", "-"], f"add table {table}\ndelete table {table}\n")


def _set_dns(host: Host, interface: str, config: Config) -> None:
    if _uses_resolved():
        for command in plan.resolvectl_commands(interface, config):
            host.run(command)
    elif shutil.which("resolvconf"):
        host.run(
            ["resolvconf", "-a", _resolvconf_name(interface), "-m", "0", "-x"], plan.resolvconf_input(config)
        )
    else:
        warn("systemd-resolved and resolvconf are not installed, so the file's DNS servers are not used")


def _unset_dns(host: Host, interface: str) -> None:
    if _uses_resolved():
        host.run(["resolvectl", "revert", interface])
    elif shutil.which("resolvconf"):
        host.run(["resolvconf", "-d", _resolvconf_name(interface), "-f"])


def _uses_resolved() -> bool:
    return Path("/run/systemd/resolve").is_dir() and shutil.which("resolvectl") is not None


def _resolvconf_name(interface: str) -> str:
    """Return a name with the first prefix in Debian's order of interfaces, by which resolvconf ranks them."""
    with suppress(OSError):
        for line in Path("/etc/resolvconf/interface-order").read_text().splitlines():
            if re.fullmatch(r"[A-Za-z0-9-]+\*", line):
                return f"{line[:-1]}.{interface}"
    return interface


def _warn_if_others_can_read(path: Path) -> None:
    with suppress(OSError):
        if path.stat().st_mode & path.absolute().parent.stat().st_mode & 0o007:
            warn(f"everybody on this host can read {path}; try `chmod 600 {path}`")
