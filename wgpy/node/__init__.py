"""A host's part in a mesh: its files, and HTTP to a coordinator and to the agent of this host.

The command `wgpy mesh` and the agent in `wgpyd` share it. `wgpy.mesh` is the mesh itself.
"""
