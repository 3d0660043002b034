package takeover

import "time"

// AnalyseOptions is what analyse is asked; it never changes anything but the
// takeover's own notes.
type AnalyseOptions struct {
	Plan bool // only say what would be read
}

// AdoptOptions is what adopt is told.
type AdoptOptions struct {
	Plan     bool
	IDOffset int64  // added to the ids of runs; 0 keeps them
	Timezone string // of timestamps without one; empty: as before, at first UTC
	// TypeMap decides types that are not known: a canonical type, or "archive" for
	// runs that stay behind.
	TypeMap map[string]string
	// WorkspaceMap gives legacy tenants without a workspace one: a legacy workspace's
	// id, or the name of a workspace to make.
	WorkspaceMap map[int64]string
	// Owners names the owner of a legacy workspace where there are no memberships: a
	// legacy user's id, or a name.
	Owners map[int64]string
}

// BackfillOptions is what backfill is told.
type BackfillOptions struct {
	Plan       bool
	History    string        // "import" or "link"; decided once
	StaleAfter time.Duration // active rows untouched for longer are given up
	CutOver    bool          // every active row is given up, and live starts are allowed
	Timezone   string        // as in [AdoptOptions]
}

// VerifyOptions is what verify is told. It changes nothing but the takeover's own
// notes and the triggers that note writes.
type VerifyOptions struct {
	Plan   bool // not even those
	All    bool // compare every row field by field
	Sample int  // else this many of each table
}

// RepointOptions is what repoint is told.
type RepointOptions struct {
	Plan bool
}

// DropOptions is what drop is told.
type DropOptions struct {
	Plan     bool
	Snapshot string // the name of the database snapshot that was taken
	// ArchiveUnlinked is how many rows without a run may go into the archive; it must
	// be exactly what is found. Only history that is linked may have any.
	ArchiveUnlinked int64
}

// RollbackOptions is what rollback is told.
type RollbackOptions struct {
	Plan bool
	To   string // the stage to undo, after all that came later
}
