"""What a host forbids is named with its setting and a remedy."""

from errno import EACCES, EINVAL, ENODEV, ENOENT, ENOSPC, EPERM

import pytest

from wgpy.tunnel.forbidden import explain

_FILTERED = "Name:\tpython\nSeccomp:\t2\nThreads:\t1\n"


@pytest.mark.parametrize(
    ("number", "settings", "remedy"),
    [
        (EPERM, {"sys/kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        (
            EACCES,  # of the uid map: the namespace was made, without capabilities
            {"sys/kernel/apparmor_restrict_unprivileged_userns": "1"},
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (ENOSPC, {"sys/user/max_user_namespaces": "0"}, "user.max_user_namespaces=10000"),
        (ENOSPC, {"sys/user/max_net_namespaces": "0"}, "user.max_net_namespaces=10000"),
        (ENOSPC, {"sys/user/max_user_namespaces": "9"}, "end some"),
        (EPERM, {"self/status": _FILTERED}, "--security-opt seccomp=unconfined"),
        (
            EACCES,
            {"self/attr/current": "staff_u:staff_r:staff_t:s0\0"},
            "SELinux forbids user namespaces to staff_t",
        ),
        (EINVAL, {}, "ask its administrator"),
    ],
)
def test_a_forbidden_namespace(number: int, settings: dict[str, str], remedy: str) -> None:
    said = explain("namespace", number, lambda name: settings.get(name, ""))

    assert remedy in said
    assert "as root, `wgpy up` and a TUN of `wgpy.Tun.open` need no user namespace" in said
    assert said.endswith("without root, `wgpy.open_device` needs nothing")


@pytest.mark.parametrize(
    ("number", "context", "remedy"),
    [
        (ENOENT, "", "modprobe tun"),
        (ENODEV, "", "modprobe tun"),
        (EACCES, "", "chmod 666 /dev/net/tun"),
        (EACCES, "unconfined_u:unconfined_r:unconfined_t:s0", "chmod 666 /dev/net/tun"),
        (EACCES, "system_u:system_r:container_t:s0:c1,c2", "--security-opt label=disable"),
        (EPERM, "docker-default (enforce)", "--device /dev/net/tun"),
    ],
)
def test_a_tun_that_cannot_be_opened(number: int, context: str, remedy: str) -> None:
    assert remedy in explain("tun", number, lambda name: context if name == "self/attr/current" else "")


def test_another_step_is_named() -> None:
    assert explain("route 10.0.0.0/8", EINVAL).endswith("route 10.0.0.0/8: Invalid argument")
