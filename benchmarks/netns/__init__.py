"""Compare userspace WireGuard implementations between two network namespaces of this host.

python -m benchmarks.netns --help
"""
