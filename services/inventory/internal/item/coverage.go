package item

import "time"

// Read is one pass over one type of one tenant, by one attempt of a run.
type Read struct {
	ID          int64 // greater than that of every read of the type before it
	WorkspaceID int64
	TenantID    int64
	Type        string
	RunID       int64
	Epoch       int64 // of the run's lease
}

// Counts are the numbers of objects in one read.
type Counts struct {
	Listed, Read, Failed        int64
	Created, Updated, Unchanged int64
	Removed                     int64
}

// Count adds one object that was read and stored.
func (c *Counts) Count(change Change) {
	c.Read++
	switch change {
	case Created:
		c.Created++
	case Updated:
		c.Updated++
	case Unchanged:
		c.Unchanged++
	}
}

// Add adds the counts of d.
func (c *Counts) Add(d Counts) {
	c.Listed += d.Listed
	c.Read += d.Read
	c.Failed += d.Failed
	c.Created += d.Created
	c.Updated += d.Updated
	c.Unchanged += d.Unchanged
	c.Removed += d.Removed
}

// Coverage is how completely a type was read. Only after a complete read is it known
// which objects are gone; after any other, what was not seen is unknown.
type Coverage struct {
	Read
	Counts
	Complete bool
	Reason   string // why not, as failure entries name it; "" if complete
	Message  string
	Start    time.Time
	End      time.Time
}
