package run

// The machine reasons of refusals, and the reason codes of failures this
// service writes itself.
const (
	ReasonCompleted       = "RUN_COMPLETED"
	ReasonLeaseHeld       = "LEASE_HELD"
	ReasonLeaseLost       = "LEASE_LOST"
	ReasonNotRunning      = "RUN_NOT_RUNNING"
	ReasonAlreadyActive   = "RUN_ALREADY_ACTIVE"
	ReasonRequestIDReused = "REQUEST_ID_REUSED"
	ReasonTypeNotOwned    = "RUN_TYPE_NOT_OWNED"

	ReasonTakeoverInProgress = "TAKEOVER_IN_PROGRESS"

	failStartTimeout  = "start_timeout"
	failLeaseExpired  = "lease_expired"
	failCancelTimeout = "cancel_timeout"
	failSuperseded    = "superseded"
)
