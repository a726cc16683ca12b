import wgpy

for peer in wgpy.uapi.handshakes("wg0"):
    print(peer.public_key, "at", peer.endpoint, flush=True)
