package run

// The reasons of refusals, and the words of the reasons of failures that this
// service writes itself. They are the names of the enums RunReason and
// FailureReason; a test of internal/api holds them to it.
const (
	ReasonCompleted       = "RUN_COMPLETED"
	ReasonLeaseHeld       = "LEASE_HELD"
	ReasonLeaseLost       = "LEASE_LOST"
	ReasonNotRunning      = "RUN_NOT_RUNNING"
	ReasonAlreadyActive   = "RUN_ALREADY_ACTIVE"
	ReasonRequestIDReused = "REQUEST_ID_REUSED"
	ReasonTypeNotOwned    = "RUN_TYPE_NOT_OWNED"
	ReasonQueueFull       = "RUN_QUEUE_FULL"

	ReasonTakeoverInProgress = "TAKEOVER_IN_PROGRESS"

	failStartTimeout  = "start_timeout"
	failLeaseExpired  = "lease_expired"
	failCancelTimeout = "cancel_timeout"
	failSuperseded    = "superseded"
)
