// Package catalog lists the types of objects that we read from Microsoft Graph.
// One entry of [Types] says all there is to know about a type: its path, its
// parts, its quota, what is compared, and how an object is put back.
//
// It is data only. Package graph reads objects as the entries say.
package catalog

import "slices"

// Type is all there is to know about one kind of object: how to read it whole,
// which of its properties we never write, and how it is put back.
//
// One entry in intune.go or entra.go and one folder of fixtures for the simulator
// make a new type: docs/howto/add-a-policy-type.md.
type Type struct {
	Name         string // ours, and the word selections use
	Entity       string // the type in Graph's schema; objects may be of types derived from it
	Version      string // "beta" or "v1.0"; v1.0 lacks nearly all of Intune
	V1           bool   // v1.0 serves it too
	Path         string // of the collection
	NameProperty string
	Workload     string // whose quota it counts against
	// Marks recognise an exported object of this type that has no OData
	// annotations: it has a name, and all properties of one of these lists.
	Marks [][]string
	Max   int // how many Microsoft allows in a tenant; 0: no number is published

	Expand      string   // navigation properties that the list must be asked for
	ItemRead    bool     // the list leaves properties out: every object is read by id
	Content     []string // properties the list leaves out and an item always has, unless built in
	ItemOnly    []string // properties the list leaves out and an item may lack
	Children    []Child
	Assignments Assignments
	Unread      []string // navigation properties that are not part of the object for us

	ReadOnly   []string // never sent, and ignored when two objects are compared; beside [CommonReadOnly]
	Masks      []string // the same, at any depth: how Graph marks what it hides
	Fixed      []string // sent on create only
	References []string // expanded properties of which only the id counts
	Sets       []string // arrays whose order means nothing, at any depth
	BuiltIn    string   // property that is true of objects Microsoft made: they are neither created nor deleted

	Create, Update string // HTTP methods; an update by PUT replaces the whole
	AssignKey      string // body key of the assign action, which replaces all assignments; "": there is no such action
	RestoreOrder   int    // lower first
	DependsOn      []string
}

// Child is a collection under an object that is part of it.
type Child struct {
	Name          string
	Query         string // query of every page: what must be expanded
	CountProperty string // property of the object that says how many elements there must be
	DropID        bool   // elements are numbered by position, or anew on every write
	Children      []Child
	Marks         []string // properties that tell an element in a file of its own
	Unread        []string // navigation properties of an element that we do not read
}

// Assignments says where an object's assignments are.
type Assignments int

// The places.
const (
	NoAssignments     Assignments = iota
	AssignmentsByPath             // the collection /assignments
	AssignmentsInline             // in the object, by $expand
)

// Workloads whose quotas are published. Graph meters each on its own.
const (
	WorkloadDeviceConfig      = "deviceConfiguration"
	WorkloadDeviceConfigV2    = "deviceConfigV2" // the settings catalog
	WorkloadApplications      = "applications"
	WorkloadRBAC              = "rbac"
	WorkloadConditionalAccess = "conditionalAccess"
	WorkloadIdentity          = "identity"
)

// RestoreLast is the RestoreOrder of types that no other type depends on.
const RestoreLast = 1000

// CommonReadOnly are properties Graph keeps for itself on every type. They are
// stripped by name, never because they are empty: mailEnabled=false is a value.
func CommonReadOnly() []string {
	return []string{"id", "createdDateTime", "lastModifiedDateTime", "modifiedDateTime", "version", "isAssigned", "supportsScopeTags"}
}

// Types returns every type that is known, in the order of restoring.
func Types() []Type {
	types := slices.Concat(foundation(), configuration(), compliance(), templates(), applications(), scripts(), conditionalAccess())
	slices.SortStableFunc(types, func(a, b Type) int { return a.RestoreOrder - b.RestoreOrder })
	return types
}

// Lookup finds a type by its name.
func Lookup(name string) (Type, bool) {
	types := Types()
	i := slices.IndexFunc(types, func(t Type) bool { return t.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return types[i], true
}
