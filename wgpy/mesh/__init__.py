"""The mesh as values: signed records, and what a node makes of them. Pure: no sockets, no files, no clock.

Invariant: everything that decides which node may send what to which is a record with a signature, and every
node verifies every record for itself. A coordinator, which stores and spreads records, can withhold them and
nothing more.
"""
