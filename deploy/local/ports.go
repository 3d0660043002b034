package local

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

const defaultPortBase = 7000

// ports is where the fleet listens: every port is an offset from one base.
type ports int

// portBase is TENANTPILOT_PORT_BASE, or its default.
func portBase() (ports, error) {
	text := os.Getenv("TENANTPILOT_PORT_BASE")
	if text == "" {
		return defaultPortBase, nil
	}
	base, err := strconv.Atoi(text)
	if err != nil || base < 1024 || base > 65000 {
		return 0, fmt.Errorf("TENANTPILOT_PORT_BASE=%s: want a number from 1024 to 65000", text)
	}
	return ports(base), nil
}

func (p ports) addr(offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p)+offset))
}

func (p ports) gateway() string   { return p.addr(80) }
func (p ports) simulator() string { return p.addr(81) }
func (p ports) postgres() int     { return int(p) + 432 }

// grpc and admin are the two ports of a service.
func (p ports) grpc(service string) string  { return p.addr(100 + place(service)) }
func (p ports) admin(service string) string { return p.addr(200 + place(service)) }

func place(service string) int {
	switch service {
	case "operations":
		return 1
	case "tenancy":
		return 2
	case "inventory":
		return 3
	}
	return 0 // the gateway, which has an admin port only
}

// all is every address, by what listens there.
func (p ports) all() map[string]string {
	addrs := map[string]string{
		"the gateway":              p.gateway(),
		"the gateway's admin port": p.admin("gateway"),
		"the simulator":            p.simulator(),
	}
	for _, service := range stores() {
		addrs[service] = p.grpc(service)
		addrs[service+"'s admin port"] = p.admin(service)
	}
	return addrs
}
