"""How a peer is reached, sans-IO. A path is a transport, a remote address and the address to send from."""
