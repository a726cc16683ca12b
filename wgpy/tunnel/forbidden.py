"""Which setting of a host forbids a tunnel without root, and what to do. user_namespaces(7)

unshare(2) says EPERM for a dozen of reasons; so the settings of the distributions are read.
"""

import os
import re
from collections.abc import Callable
from errno import EACCES, ENODEV, ENOENT, ENOSPC, ENXIO, EPERM
from pathlib import Path
from typing import Final

Read = Callable[[str], str]  # a file below /proc, "" if there is none

_NOT_PERMITTED: Final = (EPERM, EACCES)
_SELINUX: Final = re.compile(r"[^:]+:[^:]+:([^:]+)(:.*)?")  # a context: user, role, type, level
_ELSE: Final = (
    "as root, `wgpy up` and a TUN of `wgpy.Tun.open` need no user namespace; "
    "without root, `wgpy.open_device` needs nothing"
)


def read_proc(name: str) -> str:
    try:
        return Path("/proc", name).read_text().strip()
    except OSError:
        return ""


def explain(step: str, number: int, read: Read = read_proc) -> str:
    """Return the sentence for an errno of a step: namespace, tun, or another one."""
    if step == "namespace":
        return f"{_of_namespace(number, read)}; {_ELSE}"
    if step == "tun":
        return _of_tun(number, read)
    return f"the tunnel's network cannot be made: {step}: {os.strerror(number)}"


def _of_namespace(number: int, read: Read) -> str:
    if number == ENOSPC:
        return _of_limit(read)
    if number in _NOT_PERMITTED:
        if read("sys/kernel/unprivileged_userns_clone") == "0":
            return (
                "this host forbids user namespaces (a setting of Debian's and Arch's kernels): "
                "`sysctl -w kernel.unprivileged_userns_clone=1`, and a file in /etc/sysctl.d, allow them"
            )
        if read("sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
            return (
                "AppArmor forbids user namespaces (a setting of Ubuntu's): "
                "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile of this "
                "program with `userns,`, allows them"
            )
        if "Seccomp:\t2" in read("self/status").splitlines():
            return (
                "a container's seccomp profile forbids user namespaces: start the container with "
                "`--security-opt seccomp=unconfined --device /dev/net/tun`, or with `--cap-add SYS_ADMIN`"
            )
        if read("sys/user/max_user_namespaces") == "0":
            return _of_limit(read)
        if number == EACCES and (kind := _selinux_type(read)):
            return (
                f"SELinux forbids user namespaces to {kind}: "
                "`ausearch -m AVC -ts recent | audit2allow -M wgpy`, and `semodule -i wgpy.pp`, allow them"
            )
    return f"this host lets no user namespace be made here ({os.strerror(number)}): ask its administrator"


def _of_limit(read: Read) -> str:
    for kind in ("user", "net", "mnt", "pid"):
        if read(f"sys/user/max_{kind}_namespaces") == "0":
            setting = f"user.max_{kind}_namespaces"
            return (
                f"this host allows no {kind} namespaces ({setting} is 0; Red Hat's way to forbid them): "
                f"`sysctl -w {setting}=10000`, and a file in /etc/sysctl.d, allow them"
            )
    return (
        "this user has as many namespaces as user.max_user_namespaces and user.max_net_namespaces allow: "
        "end some, or raise these settings"
    )


def _selinux_type(read: Read) -> str:
    """Return the type that SELinux knows this process by, "" without SELinux."""
    found = _SELINUX.fullmatch(read("self/attr/current").rstrip("\0"))
    return found[1] if found else ""


def _of_tun(number: int, read: Read) -> str:
    if number in (ENOENT, ENODEV, ENXIO):
        return (
            "there is no /dev/net/tun: `modprobe tun` makes it on a host; "
            "a container needs `--device /dev/net/tun`"
        )
    if number == EACCES and _selinux_type(read).startswith("container"):
        return (
            "SELinux keeps the container from /dev/net/tun: start it with `--security-opt label=disable`, "
            "or let all containers use devices: `setsebool -P container_use_devices 1`"
        )
    if number == EACCES:
        return (
            "this user may not open /dev/net/tun, as everybody may on most hosts: "
            "`chmod 666 /dev/net/tun` allows it until the next boot, a rule of udev for good"
        )
    if number == EPERM:
        return "the container may not open /dev/net/tun: start it with `--device /dev/net/tun`"
    return f"the TUN cannot be made: {os.strerror(number)}"
