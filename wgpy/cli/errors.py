"""Why a command fails."""


class CommandError(Exception):
    """One sentence for the person at the terminal: what is wrong, and what to do. Exit status 1."""
