package web

import (
	"cmp"
	"math"

	"github.com/tenantpilot/tenantpilot/gen/go/tenantpilot/operations/v1"
)

// edition orders what we are told of one run, over streams of which one may be
// behind another. Every move of a run changes its update time, every heartbeat
// the end of its lease; by whatever clock, the end is the last and an epoch only rises.
type edition struct {
	ended         bool
	epoch         int64
	moved, leased int64
	sequence      int32 // of the event; a run as it is knows of all
}

func editionOf(change *operationsv1.RunChange) edition {
	run := change.GetRun()
	e := edition{
		ended: !active(run), epoch: run.GetLeaseEpoch(),
		moved: run.GetUpdateTime().AsTime().UnixNano(), leased: run.GetLeaseExpireTime().AsTime().UnixNano(),
		sequence: math.MaxInt32,
	}
	if change.GetEvent() != nil {
		e.sequence = change.GetEvent().GetSequence()
	}
	return e
}

func (e edition) compare(other edition) int {
	if e.ended != other.ended {
		if e.ended {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(e.epoch, other.epoch), cmp.Compare(e.moved, other.moved), cmp.Compare(e.leased, other.leased),
		cmp.Compare(e.sequence, other.sequence))
}

// older reports whether a is what the run was before b.
func older(a, b *operationsv1.Run) bool {
	return editionOf(&operationsv1.RunChange{Run: a}).compare(editionOf(&operationsv1.RunChange{Run: b})) < 0
}
