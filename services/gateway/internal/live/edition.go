package live

import (
	"cmp"
	"math"

	operationsv1 "github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// edition says how new a state of a run is. A viewer may be told of one run over two
// streams, and the slower stream then delivers a state that is older than the one
// already shown. Comparing editions finds that out.
//
// The fields are compared in order. A run that has ended is the newest: nothing
// changes it any more. A higher epoch is newer: epochs only rise. Within an epoch a
// transition changes the update time, and a heartbeat moves the end of the lease.
type edition struct {
	ended          bool
	epoch          int64
	updated, lease int64
	sequence       int32 // the event's; the highest number for a run that was read, which has all events
}

func editionOf(change *operationsv1.RunChange) edition {
	run := change.GetRun()
	e := edition{
		ended: !words.Active(run), epoch: run.GetLeaseEpoch(),
		updated: run.GetUpdateTime().AsTime().UnixNano(), lease: run.GetLeaseExpireTime().AsTime().UnixNano(),
		sequence: math.MaxInt32,
	}
	if change.GetEvent() != nil {
		e.sequence = change.GetEvent().GetSequence()
	}
	return e
}

// compare returns -1 if e is older than other, 1 if it is newer, and 0 if they are equal.
func (e edition) compare(other edition) int {
	if e.ended != other.ended {
		if e.ended {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(e.epoch, other.epoch), cmp.Compare(e.updated, other.updated), cmp.Compare(e.lease, other.lease),
		cmp.Compare(e.sequence, other.sequence))
}

// older reports whether a is an older state of a run than b.
func older(a, b *operationsv1.Run) bool {
	return editionOf(&operationsv1.RunChange{Run: a}).compare(editionOf(&operationsv1.RunChange{Run: b})) < 0
}
