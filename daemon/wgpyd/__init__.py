"""wgpyd: one WireGuard interface as a daemon, configured by `wg` and `wg-quick` like any other."""
