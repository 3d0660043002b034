// Package roster is the table of services: what each is called, where it
// listens, whom it calls, and with which settings its process starts. The
// launcher, the check of docker-compose.yml, the import rules and the README
// all read it, so that a new service is one row.
//
// It does not know where the processes run: a [Place] says what a port, a key
// file and a database are called there.
package roster

import (
	"fmt"
	"slices"
)

// File is the path of the table, for messages.
const File = "deploy/local/roster/table.go"

// Service is one row of the table.
type Service struct {
	Name   string
	Number int    // decides its ports; see [Service.GRPC] and [Service.Admin]
	Owns   string // what it keeps, for the README

	Calls   []string // the services it calls; empty for the gateway, which calls all of them
	Web     bool     // it serves HTTP and keeps nothing; every other service serves gRPC from its own database
	Graph   bool     // it speaks to Microsoft Graph
	Retains bool     // it removes old rows itself, so it also knows the owner of its tables

	Secrets  []string                // its key files that hold 32 random bytes
	Settings func(at Site) []Setting // the settings that only this service has
}

// All returns the rows in the order in which their processes start.
func All() []Service {
	all := slices.Clone(table)
	for i, s := range all {
		if s.Web {
			all[i].Calls = Names(Stores())
		}
	}
	return all
}

// Stores returns the services that have a database, in the same order.
func Stores() []Service {
	return slices.DeleteFunc(slices.Clone(table), func(s Service) bool { return s.Web })
}

// Names returns the names of services.
func Names(services []Service) []string {
	names := make([]string, 0, len(services))
	for _, s := range services {
		names = append(names, s.Name)
	}
	return names
}

// Find returns the row of a service.
func Find(name string) (Service, error) {
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
	}
	return Service{}, fmt.Errorf("the table of services has no %q: add a row to %s", name, File)
}

// Certificates returns every name that the development authority signs for: the
// services, a person with grpcurl, the takeover tool, and the simulator.
func Certificates() []string {
	return append(Names(All()), "operator", "takeover", Simulator)
}
