package run

// Filter narrows a list of runs; a zero field does not.
type Filter struct {
	Status      Status
	Outcome     Outcome
	Type        string
	TenantID    int64
	UserID      int64
	RetryOf     int64
	ParentRunID int64
	Labels      map[string]string // context search keys and their values
}
