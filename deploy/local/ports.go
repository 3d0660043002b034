package local

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

// ports is the base that every port of this machine is an offset from.
type ports int

// portBase returns TENANTPILOT_PORT_BASE, or its default.
func portBase() (ports, error) {
	text := os.Getenv("TENANTPILOT_PORT_BASE")
	if text == "" {
		return roster.DefaultBase, nil
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

func (p ports) gateway() string   { return p.addr(roster.WebPort) }
func (p ports) simulator() string { return p.addr(roster.SimulatorPort) }
func (p ports) postgres() int     { return int(p) + roster.PostgresPort }

// all returns every address, by the name of what listens there.
func (p ports) all() map[string]string {
	addrs := map[string]string{"the simulator": p.simulator()}
	for _, s := range roster.All() {
		addrs[s.Name] = p.addr(s.Listen())
		addrs[s.Name+"'s admin port"] = p.addr(s.Admin())
	}
	return addrs
}
