"""Why a command fails."""

from wgpy.contract.errors import WgpyError


class CommandError(WgpyError):
    """One sentence for the person at the terminal: what is wrong, and what to do. Exit status 1."""


class UsageError(CommandError):
    """The same where words of the command line are missing, too many or do not go together. Exit status 2."""
