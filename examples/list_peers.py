import wgpy

for interface in wgpy.uapi.interfaces():
    for peer in wgpy.uapi.get(interface).peers:
        print(interface, peer.public_key, peer.endpoint, *peer.allowed_ips)
