// flanneld with its backend for VXLAN and nothing for clouds: the whole one needs a module that proxies refuse.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"sync"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
)

const resyncSeconds = 5

var (
	kubeconfig = flag.String("kubeconfig-file", "", "how to reach the API server")
	settings   = flag.String("net-config-path", "", "net-conf.json")
	card       = flag.String("iface", "", "the interface between nodes")
	subnetFile = flag.String("subnet-file", "/run/flannel/subnet.env", "where to say what was chosen")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// The order is flanneld's: subnet manager, interface, backend, packet filter, subnet file.
func run(ctx context.Context) error {
	manager, err := kube.NewSubnetManager(ctx, "", *kubeconfig, "flannel.alpha.coreos.com", *settings, true)
	if err != nil {
		return err
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return err
	}
	var tasks sync.WaitGroup
	network, err := register(ctx, manager, config, &tasks)
	if err != nil {
		return err
	}
	if err := filter(ctx, config, network); err != nil {
		return err
	}
	lease := network.Lease()
	if err := manager.HandleSubnetFile(*subnetFile, config, true, lease.Subnet, lease.IPv6Subnet, network.MTU()); err != nil {
		return err
	}
	tasks.Go(func() { network.Run(ctx) })
	return errors.Join(manager.CompleteLease(ctx, lease, &tasks), errors.New("the lease ended"))
}

func register(ctx context.Context, manager subnet.Manager, config *subnet.Config, tasks *sync.WaitGroup) (backend.Network, error) {
	family, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return nil, err
	}
	outside, err := ipmatch.LookupExtIface(*card, "", "", family, ipmatch.PublicIPOpts{})
	if err != nil {
		return nil, err
	}
	vxlan, err := backend.NewManager(ctx, manager, outside).GetBackend(config.BackendType)
	if err != nil {
		return nil, err
	}
	return vxlan.RegisterNetwork(ctx, tasks, config)
}

// Pods may pass, and what they send elsewhere gets the node's address.
func filter(ctx context.Context, config *subnet.Config, network backend.Network) error {
	rules := nftables.NFTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return err
	}
	rules.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, resyncSeconds)
	return rules.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{},
		config.IPv6Network, ip.IP6Net{}, ip.IP6Net{}, network.Lease(), resyncSeconds, false)
}
