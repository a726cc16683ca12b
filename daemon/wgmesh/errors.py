"""Why something does not work, for a person."""


class MeshError(Exception):
    """One sentence."""


class StoreError(MeshError):
    """The database does not do what it should."""


class Overtaken(StoreError):
    """Another coordinator has stored something meanwhile; nothing was stored."""


class Denial(Exception):
    """A request is not granted. status: of HTTP; the message is one sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
