"""The mesh as values: signed records, and what a node makes of them. Pure: no sockets, no files, no clock.

Invariant: everything that decides who may send what to whom is a record with a signature, and every node
judges every record for itself. Who stores and spreads records can withhold them, and that is all.
"""
