"""What a client signs to prove its key. A challenge contains the time when it was made, so none is stored."""

import hmac
from typing import Final

VALID: Final = 60  # seconds


class Challenges:
    """The challenges of one process."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, now: int) -> str:
        """now: seconds of a monotonic clock."""
        return f"{now}-{self._mac(str(now))}"

    def is_fresh(self, challenge: str, now: int) -> bool:
        made, _, mac = challenge.partition("-")
        return hmac.compare_digest(self._mac(made).encode(), mac.encode()) and 0 <= now - int(made) < VALID

    def _mac(self, made: str) -> str:
        return hmac.digest(self._secret, made.encode(), "sha256").hex()
