"""What makes an interface of engine, data path, TUN and sockets, and pumps its packets."""
