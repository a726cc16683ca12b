"""How datagrams leave and arrive."""
