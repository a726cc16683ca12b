"""Why the daemon cannot start."""


class StartError(Exception):
    """One sentence for the operator: what is wrong, and what to do."""
