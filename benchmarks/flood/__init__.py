"""What floods of handshake messages leave of a tunnel.

python -m benchmarks.flood --help
"""
