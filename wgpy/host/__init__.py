"""Linux, said once: devices, addresses and routes, clocks, service managers."""
