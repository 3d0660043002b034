package rooms

import (
	"path"
	"slices"
	"strings"

	"github.com/tenantpilot/tenantpilot/deploy/local/roster"
)

// rule says what files of a kind of folder must not import.
type rule struct {
	room  func(h house, dir string) bool
	tests scope
	// forbids returns why f must not import path, or "".
	forbids func(f file, path string) string
}

// scope says whether a rule also holds for tests.
type scope int

const (
	shipped scope = iota // not in _test.go files
	always
)

// rules hold for the rooms that the map in the README shows.
var rules = []rule{
	{room: isService, tests: always, forbids: otherServices},
	{room: isService, tests: always, forbids: uncalled},
	{room: isGateway, tests: always, forbids: deny(
		no("the gateway has no database", "github.com/jackc/pgx", "database/sql", module+"pkg/pg"),
		no("rendering never calls Graph", module+"pkg/graph"),
		no("the gateway starts runs by RPC and works on none", module+"pkg/work"),
	)},
	{room: isGateway, forbids: siblings},
	{room: isStore, forbids: deny(
		no("proto stops at internal/api", module+"gen"),
		no("errors of the store are pkg/errs or plain", "google.golang.org/grpc"),
		no("the store talks to PostgreSQL only", module+"pkg/graph", module+"pkg/rpc"),
	)},
	{room: isAPI, forbids: deny(
		no("SQL lives in internal/store", "github.com/jackc/pgx", "database/sql"),
		no("only jobs speak to Graph", module+"pkg/graph", "github.com/Azure"),
	)},
	{room: isWorker, forbids: deny(
		no("SQL lives in internal/store", "github.com/jackc/pgx", "database/sql"),
	)},
	{room: isDomain, forbids: domain},
	{room: inTakeover, forbids: stages},
	{room: isCommand, tests: always, forbids: command},
	{room: isPkg, tests: always, forbids: deny(no("pkg knows no service", module+"services"))},
	{room: isPkg, tests: always, forbids: generated},
	{room: ships, forbids: deny(no("what only tests and development stand on is not shipped", module+"pkg/testkit"))},
}

// denial is packages, all that is below them, and why they are forbidden.
type denial struct {
	why   string
	roots []string
}

func no(why string, roots ...string) denial { return denial{why: why, roots: roots} }

func deny(all ...denial) func(f file, path string) string {
	return func(_ file, path string) string {
		for _, d := range all {
			if within(path, d.roots...) {
				return d.why
			}
		}
		return ""
	}
}

// otherServices forbids the code of other services: services meet only by RPC.
func otherServices(f file, path string) string {
	rest, ok := strings.CutPrefix(path, module+"services/")
	if other := first(rest); ok && other != service(f.dir) {
		return "services meet only by RPC"
	}
	if !takeover(f.dir) && within(path, module+takeoverRoom) {
		return "the takeover is a tool, and the service runs without it"
	}
	return ""
}

// uncalled forbids the generated code of services that the row in the table does not call.
func uncalled(f file, path string) string {
	rest, ok := strings.CutPrefix(path, module+"gen/go/tenantpilot/")
	called := first(rest)
	if !ok || called == "authz" || called == service(f.dir) || takeover(f.dir) && called == "tenancy" {
		return ""
	}
	row, err := roster.Find(service(f.dir))
	switch {
	case err != nil:
		return err.Error()
	case !slices.Contains(row.Calls, called):
		return row.Name + " does not call " + called + ": see the calls of its row in " + roster.File
	}
	return ""
}

// siblings forbids rooms of the gateway to import each other, except web and words,
// which all of them may use.
func siblings(f file, path string) string {
	other, ok := strings.CutPrefix(path, module+"services/gateway/internal/")
	from, to := room(f.dir), first(other)
	if !ok || from == "" || from == to || forTests(f.dir) || to == "web" || to == "words" {
		return ""
	}
	return "rooms of the gateway do not know each other: what two of them share belongs to web or words"
}

// takeoverRoom holds the takeover, a folder for each stage, and the core.
const takeoverRoom = "services/operations/takeover"

// stages: a stage of the takeover knows the core and no other stage. Only the command,
// in the room's own folder, knows them all.
func stages(f file, path string) string {
	other, ok := strings.CutPrefix(path, module+takeoverRoom+"/")
	known := []string{"analyse", "adopt", "backfill", "verify", "repoint", "drop", "rollback"}
	if ok && slices.Contains(known, first(other)) && !within(f.dir, takeoverRoom+"/"+first(other)) {
		return "a stage of the takeover stands alone: what two of them share belongs to its core"
	}
	return ""
}

// libraries are what domain rooms may use beside the standard library and pkg/errs,
// each because it computes and does nothing else.
var libraries = []string{
	"github.com/netresearch/go-cron", // reads cron expressions
	"github.com/tink-crypto/tink-go", // seals secrets
}

// domain forbids I/O, and all code that is not of the domain room itself.
func domain(f file, path string) string {
	if why := deny(
		no("the domain does no I/O: the interceptor logs", "log"),
		no("the domain does no I/O", "net/http", "os/exec", "database/sql"),
	)(f, path); why != "" || standard(path) || within(path, libraries...) || within(path, module+"pkg/errs") {
		return why
	}
	return "the domain imports the standard library, pkg/errs and the libraries that deploy/local/internal/rooms/rules.go names"
}

// command keeps decisions out of cmd: it has flags, signals, Run and the exit code.
func command(_ file, path string) string {
	if standard(path) && path != "database/sql" || within(path, module+"services", module+"pkg/obs", module+"pkg/service") {
		return ""
	}
	return "no decisions in cmd: it imports the front door, pkg/service and pkg/obs"
}

// clients are the only rooms of pkg/ that know generated code, and which.
var clients = map[string]string{
	"pkg/rpc":             "authz",
	"pkg/testkit/rpctest": "authz",
	"pkg/work":            "operations",
	"pkg/tenants":         "tenancy",
}

// generated forbids the words of services in pkg/, which is how we do things and never
// what we do.
func generated(f file, path string) string {
	if !within(path, module+"gen") {
		return ""
	}
	for room, of := range clients {
		if within(f.dir, room) && (f.test || within(path, module+"gen/go/tenantpilot/"+of)) {
			return ""
		}
	}
	return "pkg knows no service's words, but for the rooms that deploy/local/internal/rooms/rules.go names"
}

// standard reports whether path is of the standard library.
func standard(path string) bool { return !strings.Contains(first(path), ".") }

func first(name string) string {
	head, _, _ := strings.Cut(name, "/")
	return head
}

func isService(_ house, dir string) bool { return strings.HasPrefix(dir, "services/") }
func isGateway(_ house, dir string) bool { return service(dir) == "gateway" }
func isPkg(_ house, dir string) bool     { return strings.HasPrefix(dir, "pkg/") }
func isStore(_ house, dir string) bool   { return room(dir) == "store" }
func isAPI(_ house, dir string) bool     { return room(dir) == "api" }

func isCommand(_ house, dir string) bool {
	return service(dir) != "" && slices.Contains(strings.Split(dir, "/"), "cmd")
}

// isWorker and isDomain divide the rooms that do not have a rule of their own: one
// that waits for something, and so imports context, is a worker; else it decides.
func isWorker(h house, dir string) bool { return unnamed(dir) && h.waits[dir] }
func isDomain(h house, dir string) bool { return unnamed(dir) && !h.waits[dir] }

func unnamed(dir string) bool {
	return room(dir) != "" && service(dir) != "gateway" && !slices.Contains([]string{"store", "api"}, room(dir)) && !forTests(dir)
}

// forTests reports whether only tests and benchmarks use dir.
func forTests(dir string) bool {
	return slices.ContainsFunc(strings.Split(dir, "/"), func(name string) bool {
		return name == "bench" || name == "proof" || name == "benchsync" || strings.HasSuffix(name, "test")
	})
}

// ships reports whether dir ends up in a service, or in pkg/.
func ships(_ house, dir string) bool {
	return (service(dir) != "" || strings.HasPrefix(dir, "pkg/")) && !forTests(dir) && !within(dir, "pkg/testkit") && !takeover(dir)
}

// inTakeover reports whether dir is a stage or the core of the takeover.
func inTakeover(_ house, dir string) bool {
	return takeover(dir) && dir != takeoverRoom && !forTests(dir)
}

// service is X of services/X, or "".
func service(dir string) string {
	rest, ok := strings.CutPrefix(dir, "services/")
	if !ok {
		return ""
	}
	return first(rest)
}

// room is N of services/X/internal/N, or "".
func room(dir string) string {
	rest, ok := strings.CutPrefix(dir, path.Join("services", service(dir), "internal")+"/")
	if !ok || service(dir) == "" {
		return ""
	}
	return first(rest)
}

// takeover reports whether dir belongs to the tool for older installations, which
// also calls tenancy to import.
func takeover(dir string) bool {
	return within(dir, takeoverRoom)
}
