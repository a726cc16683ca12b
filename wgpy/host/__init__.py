"""Linux, in one place: devices, addresses and routes, clocks, service managers."""
