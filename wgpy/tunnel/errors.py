"""Why a tunnel cannot be made or used."""

from wgpy.contract.errors import WgpyError


class TunnelError(WgpyError):
    """One sentence: what is wrong, and what to do."""
