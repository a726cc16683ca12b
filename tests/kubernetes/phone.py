"""A client of the mesh that is in no cluster: wireguard-go with the file that is printed for it."""

from tests.integration.hosts import Host, eventually
from tests.integration.meshlab import World

_FILE = "/run/phone.conf"
_WITHIN = 120  # seconds, for what takes few on a machine at rest


def add_phone(world: World) -> Host:
    """Power it on in the office, behind the NAT, and return when it is in the mesh, by the hub."""
    hub, host = world.hub, world.stand("phone", "office", 30).host
    (file,) = hub.ask("client", "add", "phone", "--endpoint", hub.outside)["files"]
    lines = [line for line in file["text"].splitlines() if not line.startswith("DNS")]
    host.write(_FILE, "\n".join(lines))  # wg-quick needs resolvconf for the others
    host.write("/run/resolv.conf", f"nameserver {hub.address()}\n")
    host.run("env", "WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go", "wg-quick", "up", _FILE)
    ping = ("ping", "-n", "-c", "1", "-W", "1", hub.address())
    eventually(lambda: host.attempt(*ping).status == 0, "the phone reaches the hub", _WITHIN)
    return host
