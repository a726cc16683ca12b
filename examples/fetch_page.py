import http.client
import sys

import wgpy

with wgpy.Tunnel(wgpy.config.load(sys.argv[1])) as tunnel:
    connection = http.client.HTTPConnection(sys.argv[2])
    connection.sock = tunnel.create_connection((sys.argv[2], 80), timeout=60)
    connection.request("GET", "/")
    print(connection.getresponse().read().decode())
