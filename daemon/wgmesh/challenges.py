"""What an asker signs to prove its key. A challenge says when we made it, so nothing is kept of it."""

import hmac
from typing import Final

VALID: Final = 60  # seconds


class Challenges:
    """Those of one process."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, now: int) -> str:
        """now: seconds by any clock that does not go back."""
        return f"{now}-{self._mac(str(now))}"

    def is_fresh(self, challenge: str, now: int) -> bool:
        made, _, mac = challenge.partition("-")
        return hmac.compare_digest(self._mac(made).encode(), mac.encode()) and 0 <= now - int(made) < VALID

    def _mac(self, made: str) -> str:
        return hmac.digest(self._secret, made.encode(), "sha256").hex()
