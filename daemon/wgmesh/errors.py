"""Errors of the coordinator; the message of each is one sentence for a person."""


class MeshError(Exception):
    """A command cannot be carried out."""


class StoreError(MeshError):
    """The database failed."""


class Overtaken(StoreError):
    """Another coordinator raised the revision since it was read; nothing was stored."""


class Denial(Exception):
    """A request is not granted. status: of HTTP; retry_after: seconds, 0 if it is not known."""

    def __init__(self, status: int, reason: str, retry_after: int = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after
