"""A tunnel for programs that know nothing of it: by SOCKS5, by an HTTP proxy, and by ports of either side."""
