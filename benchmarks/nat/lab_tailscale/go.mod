module tailscale-lab

go 1.27.4

require tailscale.com v1.104.7

// The module proxies that were tried do not have the version that 1.104.7 asks for.
replace github.com/tailscale/wireguard-go => github.com/tailscale/wireguard-go v0.0.0-20260928213032-417aef361226
