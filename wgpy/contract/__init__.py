"""What the engine, the policy and a data path say to each other, as values.

Invariant: nothing here imports anything else of wgpy.
"""
