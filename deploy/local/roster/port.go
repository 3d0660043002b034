package roster

// Simulator is the process that stands in for Microsoft.
const Simulator = "graphsim"

// Ports are offsets: the launcher adds its base to them, docker-compose.yml 7000.
const (
	WebPort       = 80
	SimulatorPort = 81
	PostgresPort  = 432
	DefaultBase   = 7000

	grpcPorts  = 100
	adminPorts = 200
)

// GRPC is the port that the other services call s on.
func (s Service) GRPC() int { return grpcPorts + s.Number }

// Admin is the port of s for health, metrics and profiles.
func (s Service) Admin() int { return adminPorts + s.Number }

// Listen is the port that s serves on.
func (s Service) Listen() int {
	if s.Web {
		return WebPort
	}
	return s.GRPC()
}
