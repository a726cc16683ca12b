"""What is wrong with a request or an answer."""

from wgpy.contract.errors import WgpyError


class UapiError(WgpyError):
    """A request, or an answer to one, that cannot be accepted; `str` is one sentence for the log.

    errno: as it goes on the wire; line_number: within its request, from 1, or 0 if it is about no line;
    line: what stood there, cut, with keys hidden; fatal: close the connection after answering.
    """

    def __init__(
        self, errno: int, why: str, *, line_number: int = 0, line: str = "", fatal: bool = False
    ) -> None:
        super().__init__(f"line {line_number}, `{line}`: {why}" if line_number else why)
        self.errno = errno
        self.why = why
        self.line_number = line_number
        self.line = line
        self.fatal = fatal
