"""`wgpy genkey`, `wgpy genpsk` and `wgpy pubkey`: keys on standard input and output."""

import os
import stat
import sys

from wgpy.cli.errors import CommandError
from wgpy.keys import PresharedKey, PrivateKey

_MAX_INPUT = 4096


def genkey() -> None:
    _warn_if_others_can_read()
    print(PrivateKey.generate().base64())


def genpsk() -> None:
    _warn_if_others_can_read()
    print(PresharedKey.generate().base64())


def pubkey() -> None:
    """Raises CommandError unless standard input holds one private key."""
    text = sys.stdin.buffer.read(_MAX_INPUT).decode("latin-1").strip()
    if not text:
        raise CommandError(
            "pubkey reads a private key from standard input, and there is none: wgpy pubkey < private.key"
        )
    try:
        key = PrivateKey.from_base64(text)
    except ValueError:
        raise CommandError(
            "standard input holds no private key: want the 44 characters of base64 that `wgpy genkey` prints"
        ) from None
    print(key.public_key().base64())


def _warn_if_others_can_read() -> None:
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        print(
            "wgpy: warning: everybody on this host can access the file this secret is written to;"
            " use `umask 077` before.",
            file=sys.stderr,
        )
