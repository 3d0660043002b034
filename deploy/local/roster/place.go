package roster

import "strings"

// Place says what things are called where the processes of the table run.
type Place interface {
	// Listen is the address that a process listens on.
	Listen(port int) string
	// Address is where other processes reach it.
	Address(process string, port int) string
	// Key is a file that only this process may read.
	Key(process, file string) string
	// AppURL and OwnerURL name a service's database as each of its two roles.
	AppURL(service string) (string, error)
	OwnerURL(service string) (string, error)
}

// Setting is an environment variable of a process, without the service's prefix.
type Setting struct{ Name, Value string }

// Site is a place as one service sees it.
type Site struct {
	Simulator string                   // host and port
	Key       func(file string) string // a file of the service
}

// Environment returns the variables that s is started with at p, as NAME=value.
func (s Service) Environment(p Place) ([]string, error) {
	at := Site{
		Simulator: p.Address(Simulator, SimulatorPort),
		Key:       func(file string) string { return p.Key(s.Name, file) },
	}
	settings := s.identity(p, at)
	if !s.Web {
		stored, err := s.store(p, at)
		if err != nil {
			return nil, err
		}
		settings = append(settings, stored...)
	}
	for _, called := range s.Calls {
		other, err := Find(called)
		if err != nil {
			return nil, err
		}
		settings = append(settings, Setting{strings.ToUpper(called) + "_TARGET", p.Address(called, other.GRPC())})
	}
	if s.Graph {
		settings = append(settings, Setting{"GRAPH_CA", at.Key("ca.pem")})
	}
	if s.Settings != nil {
		settings = append(settings, s.Settings(at)...)
	}
	return s.variables(settings), nil
}

// Variable is the name of a setting of s in the environment.
func (s Service) Variable(setting string) string { return strings.ToUpper(s.Name) + "_" + setting }

func (s Service) variables(settings []Setting) []string {
	all := make([]string, 0, len(settings))
	for _, each := range settings {
		all = append(all, s.Variable(each.Name)+"="+each.Value)
	}
	return all
}

// identity is what every service has: its ports and its certificate.
func (s Service) identity(p Place, at Site) []Setting {
	return []Setting{
		{"LISTEN", p.Listen(s.Listen())},
		{"ADMIN_LISTEN", p.Listen(s.Admin())},
		{"TLS_CERT", at.Key("cert.pem")},
		{"TLS_KEY", at.Key("key.pem")},
		{"TLS_CA", at.Key("ca.pem")},
	}
}

// store is what every service with a database has.
func (s Service) store(p Place, at Site) ([]Setting, error) {
	app, err := p.AppURL(s.Name)
	if err != nil {
		return nil, err
	}
	settings := []Setting{
		{"ACTOR_KEYS", at.Key("actor-pub.pem")},
		{"PAGE_KEY_FILE", at.Key("page.key")},
		{"REFLECTION", "true"},
		{"DATABASE_URL", app},
	}
	if s.Retains {
		owner, err := p.OwnerURL(s.Name)
		return append(settings, Setting{"OWNER_DATABASE_URL", owner}), err
	}
	return settings, nil
}
