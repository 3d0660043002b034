package adopt

// For tests.
var (
	MadeID       = madeID
	Roles        = roles
	ErrNoTenancy = errNoTenancy
)
