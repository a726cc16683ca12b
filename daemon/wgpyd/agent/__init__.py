"""The agent: a node of a mesh, beside the interface that it configures, in the daemon's own loop.

Invariant: what it does follows from its records on disk and the time. A coordinator brings news and nothing
else, so a node that never reaches one still has all that it had.
"""
