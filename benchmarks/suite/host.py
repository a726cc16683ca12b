"""What a host needs for its implementations to be measured."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

TOOLS: Final = {  # and the Debian packages that have them
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "ss": "iproute2",
    "wg": "wireguard-tools",
    "ping": "iputils-ping",
    "iperf3": "iperf3",
    "sysctl": "procps",
}
TUN: Final = Path("/dev/net/tun")


def obstacle() -> str:
    """Return why nothing can be measured on this host, with a remedy, or nothing."""
    if os.geteuid() != 0:
        return (
            "this makes network namespaces, which needs root.\n"
            "Use `sudo .venv/bin/python -m benchmarks`, or `./run bench`, which calls sudo itself."
        )
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        packages = " ".join(dict.fromkeys(TOOLS[tool] for tool in missing))
        return (
            f"this host lacks {', '.join(missing)}.\n"
            f"Use `apt-get install {packages}`, or `./run bench`, which does that itself."
        )
    try:
        os.close(os.open(TUN, os.O_RDWR))
    except OSError as error:
        return (
            f"{TUN} cannot be opened: {error.strerror}.\n"
            "Use `modprobe tun`; a container needs `--device /dev/net/tun` and `--privileged`."
        )
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        return (
            f"root may not make namespaces here: {tried.stderr.strip()}.\n"
            "If this is a container, start it with `--privileged`."
        )
    return ""
