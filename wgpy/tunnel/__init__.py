"""Tunnels with sockets of the kernel's, in a network of their own: no root, and the host stays as it is.

A process inside (`inside`) makes the namespaces, TUN, addresses and routes, hands the TUN over, and then
makes sockets and starts programs on request. The tunnel's own datagrams leave by the network of the caller.
"""
