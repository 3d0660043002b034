package item

// Known is what is stored of an object before a run sees it again.
type Known struct {
	ID         int64
	Version    int32
	Hash       [32]byte
	VersionRun int64 // the run that wrote the current version
	Removed    bool
}

// Change is what happened to an object since it was last seen.
type Change int

// The changes.
const (
	Unchanged Change = iota
	Created          // new to the tenant, or back in it
	Updated          // has a new version
)

// See decides what it means that a run saw the object s, of which k is stored (nil:
// nothing is). It returns how the object is counted, and the number of the version
// to write, or 0 to write none.
//
// A run that was interrupted reads its types again. It counts what its earlier
// attempt wrote as its own work, and does not write it twice.
func (k *Known) See(s Seen, run int64) (Change, int32) {
	switch {
	case k == nil:
		return Created, 1
	case k.Hash != s.Hash:
		return k.changed(run), k.Version + 1
	case k.Removed:
		return Created, 0
	case k.VersionRun == run && k.Version == 1:
		return Created, 0
	case k.VersionRun == run:
		return Updated, 0
	}
	return Unchanged, 0
}

func (k *Known) changed(run int64) Change {
	if k.Removed || k.VersionRun == run && k.Version == 1 {
		return Created
	}
	return Updated
}
