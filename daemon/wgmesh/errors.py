"""Errors of the coordinator; the message of each is one sentence for a person."""


class MeshError(Exception):
    """A command cannot be carried out."""


class StoreError(MeshError):
    """The database failed."""


class Overtaken(StoreError):
    """Another coordinator raised the revision since it was read; nothing was stored."""


class Denial(Exception):
    """A request is not granted. status: of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
