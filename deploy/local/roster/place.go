package roster

import "strings"

// Place says what ports, files and databases are called where the processes run. The
// launcher is one, with loopback and folders; docker-compose.yml another, with hosts
// and volumes.
type Place interface {
	// Listen returns the address on which a process listens.
	Listen(port int) string
	// Address returns the address at which other processes reach it.
	Address(process string, port int) string
	// Key returns the path of a file that only this process may read.
	Key(process, file string) string
	// AppURL and OwnerURL return the URL of a service's database, for the service itself
	// and for the owner of its tables.
	AppURL(service string) (string, error)
	OwnerURL(service string) (string, error)
}

// Setting is an environment variable of a process, without the service's prefix.
type Setting struct{ Name, Value string }

// Site is what a row needs of a place for its own settings.
type Site struct {
	Simulator string                   // host and port
	Key       func(file string) string // a file of the service
}

// Environment returns the variables with which s starts at p, each as NAME=value.
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

// Variable returns the name of a setting of s in the environment.
func (s Service) Variable(setting string) string { return strings.ToUpper(s.Name) + "_" + setting }

func (s Service) variables(settings []Setting) []string {
	all := make([]string, 0, len(settings))
	for _, each := range settings {
		all = append(all, s.Variable(each.Name)+"="+each.Value)
	}
	return all
}

// identity returns what every service has: its ports and its certificate.
func (s Service) identity(p Place, at Site) []Setting {
	return []Setting{
		{"LISTEN", p.Listen(s.Listen())},
		{"ADMIN_LISTEN", p.Listen(s.Admin())},
		{"TLS_CERT", at.Key("cert.pem")},
		{"TLS_KEY", at.Key("key.pem")},
		{"TLS_CA", at.Key("ca.pem")},
	}
}

// store returns what every service with a database has.
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
