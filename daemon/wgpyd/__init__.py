"""The daemon: one WireGuard interface, configured by `wg`, in the foreground or not."""
