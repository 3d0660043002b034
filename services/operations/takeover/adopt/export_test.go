package adopt

// What tests look at.
var (
	MadeID       = madeID
	Roles        = roles
	ErrNoTenancy = errNoTenancy
)
