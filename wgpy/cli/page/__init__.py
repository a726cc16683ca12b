"""`wgpy mesh page`: what a node knows of its network, in a browser of this host.

The page is served by the command, while that runs, out of the agent's local API: a node that nobody looks at
does nothing for it. It changes nothing; it shows the commands that would.
"""
