// Package item is the domain of inventory: the items of a tenant's configuration,
// their immutable versions, and how completely their types were read. It decides
// what it means that a run sees an object. It neither reads Graph nor writes rows.
package item

import "time"

// Item is one object of a tenant. Its identity is (tenant, type, external id).
type Item struct {
	ID          int64
	WorkspaceID int64
	TenantID    int64
	Type        string
	ExternalID  string
	DisplayName string // an attribute: neither unique nor stable
	ODataType   string
	Version     int32
	Hash        []byte
	LastSeenRun int64
	FirstSeen   time.Time
	LastSeen    time.Time
	Removed     *time.Time // nil while it exists
}

// Version is what an item looked like at one time. It never changes.
type Version struct {
	ItemID      int64
	Number      int32
	Hash        []byte
	Normaliser  int32
	RunID       int64
	Created     time.Time
	DisplayName string
	Payload     []byte // nil where a list leaves it out
}

// Element is one element of a collection that Graph has beside an object, for
// example one assignment.
type Element struct {
	Collection string
	ParentID   string // "" directly beside the object
	Ordinal    int32
	Payload    []byte
}

// Seen is an object as a read found it, whole.
type Seen struct {
	ExternalID  string
	DisplayName string
	ODataType   string
	Hash        [32]byte // of its canonical form
	Payload     []byte   // as Graph sent it
	Elements    []Element
}

// Size returns about how much memory s takes.
func (s Seen) Size() int {
	n := len(s.Payload) + 256
	for _, e := range s.Elements {
		n += len(e.Payload) + 64
	}
	return n
}
