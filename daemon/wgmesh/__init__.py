"""The coordinator `wgmesh`: stores what is said in a network and tells everybody whom it concerns."""
