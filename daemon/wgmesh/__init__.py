"""The coordinator of a mesh: it stores records and sends them to nodes.

Invariant: no node trusts the coordinator. Every node verifies every record, so whoever controls this process,
its database or its network can withhold records and no more.
"""
