"""The coordinator of a mesh: it stores and spreads records.

Invariant: nobody has to believe it. Every node verifies every record for itself, so whoever has this process,
its database or its wire can withhold news and no more.
"""
