package roster

// Simulator is the process that stands in for Microsoft.
const Simulator = "graphsim"

// Ports are offsets from a base: DefaultBase in docker-compose.yml, and for the launcher
// unless TENANTPILOT_PORT_BASE names another.
const (
	WebPort       = 80
	SimulatorPort = 81
	PostgresPort  = 432
	DefaultBase   = 7000

	grpcPorts  = 100
	adminPorts = 200
)

// GRPC returns the port on which other services call s.
func (s Service) GRPC() int { return grpcPorts + s.Number }

// Admin returns the port of s for health, metrics and profiles.
func (s Service) Admin() int { return adminPorts + s.Number }

// Listen returns the port on which s serves.
func (s Service) Listen() int {
	if s.Web {
		return WebPort
	}
	return s.GRPC()
}
