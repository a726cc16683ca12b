"""Reconcilers: each compares its part of the host with the plan."""
