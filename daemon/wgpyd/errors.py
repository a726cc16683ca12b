"""Errors of the daemon's start."""


class StartError(Exception):
    """The daemon cannot start; the message is one sentence with a remedy."""
