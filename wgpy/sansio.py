"""The protocol for programs that move packets and datagrams themselves: a device made of a configuration."""

import os
import time
from collections.abc import Callable

from wgpy.address import HostPort, parse_endpoint
from wgpy.config import Config, to_update
from wgpy.contract.constants import DEFAULT_MTU
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import InputError
from wgpy.datapath.portable import PortableDataPath
from wgpy.device import Device
from wgpy.device_update import apply_update, check_update

PortableDevice = Device[PortableDataPath]


def open_device(
    config: Config,
    now: int,
    *,
    random: Callable[[int], bytes] = os.urandom,
    wall_clock: Callable[[], int] = time.time_ns,
) -> PortableDevice:
    """Return a device that is up and has the keys, peers and MTU of a configuration.

    now: ns of a clock that runs on while the host sleeps (`wgpy.boottime`), here and in every call to the
    device; random, wall_clock: as `Engine` takes them. Raises InputError for an endpoint by name, StateError.
    """
    device = Device(PortableDataPath(mtu=config.mtu or DEFAULT_MTU), random=random, wall_clock=wall_clock)
    update = to_update(config, _endpoint)
    check_update(device, update)
    for _ in apply_update(device, update, lambda: now):
        pass
    device.up(now)
    device.advance(now)  # so that the data path knows what the engine knows
    return device


def _endpoint(target: HostPort) -> Endpoint:
    """Raises InputError."""
    try:
        return parse_endpoint(str(target))
    except InputError:
        raise InputError(f"the endpoint {target} is a name: resolve it, and give its address") from None
