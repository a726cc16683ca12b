"""`wgpy bugreport`: one file with what a maintainer needs, and nothing that should stay at home."""
