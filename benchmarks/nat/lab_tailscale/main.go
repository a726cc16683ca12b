// What nodes of Tailscale need beside themselves: a control server, and relays (DERP, with STUN). Both are of
// Tailscale's own module, the control server of its tests, so nothing of them is kept on disk.
//
//	tailscale-lab control ADDRESS RELAY...   serves nodes at http://ADDRESS, and tells them of the relays
//	tailscale-lab relay                      relays at TCP port 443, and answers STUN at UDP port 3478
package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

func main() {
	switch {
	case len(os.Args) > 3 && os.Args[1] == "control":
		log.Fatal(serveControl(os.Args[2], os.Args[3:]))
	case len(os.Args) == 2 && os.Args[1] == "relay":
		log.Fatal(serveRelay())
	}
	log.Fatal("usage: tailscale-lab control ADDRESS RELAY... | relay")
}

func serveControl(address string, relays []string) error {
	return http.ListenAndServe(net.JoinHostPort(address, "80"), &testcontrol.Server{
		Logf:            logger.Discard,
		DERPMap:         relayMap(relays),
		ExplicitBaseURL: "http://" + address,
		AllOnline:       true,
		PeerRelayGrants: true,
	})
}

func relayMap(addresses []string) *tailcfg.DERPMap {
	regions := map[tailcfg.DERPRegionID]*tailcfg.DERPRegion{}
	for index, address := range addresses {
		id := tailcfg.DERPRegionID(index + 1)
		regions[id] = &tailcfg.DERPRegion{
			RegionID:   id,
			RegionCode: address,
			Nodes: []*tailcfg.DERPNode{{
				Name:             address,
				RegionID:         id,
				HostName:         address,
				IPv4:             address,
				IPv6:             "none",
				InsecureForTests: true, // its certificate names no address
			}},
		}
	}
	return &tailcfg.DERPMap{Regions: regions}
}

func serveRelay() error {
	listener, err := net.Listen("tcp", ":443")
	if err != nil {
		return err
	}
	relay := derpserver.New(key.NewNode(), logger.Discard)
	server := httptest.NewUnstartedServer(derpserver.Handler(relay)) // it has a certificate of its own
	server.Listener.Close()
	server.Listener = listener
	// A relayed connection is taken over from HTTP, which HTTP/2 does not allow.
	server.Config.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler))
	server.StartTLS()
	return stunserver.New(context.Background()).ListenAndServe(":3478")
}
