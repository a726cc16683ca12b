"""Notifications to systemd. sd_notify(3)"""

import logging
import os
import socket

_LOG = logging.getLogger("wgpy")


def notify(state: str) -> None:
    """Report a state, if systemd wants it. state: `READY=1` or `STOPPING=1`, say."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as systemd:
        try:
            systemd.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError as error:
            _LOG.warning("cannot notify systemd: %s", error.strerror)
