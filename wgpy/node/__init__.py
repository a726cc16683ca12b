"""A host's part in a mesh: what it keeps on disk, and how it talks to a coordinator and to its own agent.

The command `wgpy mesh` and the agent in `wgpyd` share it. What a mesh is, `wgpy.mesh` says.
"""
