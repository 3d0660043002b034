package tenant

// Cloud is the Microsoft cloud a tenant lives in.
type Cloud string

// The clouds.
const (
	Global   Cloud = "global"
	USGov    Cloud = "us_gov"
	USGovDoD Cloud = "us_gov_dod"
	China    Cloud = "china"
)

// Hosts are the addresses where a cloud signs applications in and where its Graph
// is. They are never fields of a tenant: nobody may choose where secrets are sent.
type Hosts struct{ Authority, Graph string }

// Hosts returns the hosts of c, and empty ones for a cloud that does not exist.
func (c Cloud) Hosts() Hosts {
	switch c {
	case Global:
		return Hosts{"https://login.microsoftonline.com", "https://graph.microsoft.com"}
	case USGov:
		return Hosts{"https://login.microsoftonline.us", "https://graph.microsoft.us"}
	case USGovDoD:
		return Hosts{"https://login.microsoftonline.us", "https://dod-graph.microsoft.us"}
	case China:
		return Hosts{"https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"}
	}
	return Hosts{}
}
