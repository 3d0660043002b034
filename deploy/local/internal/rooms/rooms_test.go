package rooms

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheHouseKeepsItsRules(t *testing.T) {
	t.Parallel()
	found, err := Check(os.DirFS("../../../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range found {
		t.Error(each)
	}
}

// planted is a file, and the one thing it imports.
type planted struct{ file, imports string }

func TestAPlantedImportIsFound(t *testing.T) {
	t.Parallel()
	const own = "github.com/tenantpilot/tenantpilot/"
	tests := map[string]struct {
		planted
		want string // "" where the import is allowed
	}{
		"a service's front door":               {planted{"services/inventory/a.go", own + "services/operations"}, "meet only by RPC"},
		"another service's room":               {planted{"services/gateway/internal/web/a.go", own + "services/tenancy/internal/store"}, "meet only by RPC"},
		"another service in a test":            {planted{"services/tenancy/a_test.go", own + "services/gateway"}, "meet only by RPC"},
		"another service in the takeover":      {planted{"services/operations/takeover/a.go", own + "services/tenancy"}, "meet only by RPC"},
		"a service's own room":                 {planted{"services/tenancy/a.go", own + "services/tenancy/internal/store"}, ""},
		"the service in the takeover":          {planted{"services/operations/takeover/a.go", own + "services/operations"}, ""},
		"the takeover in the service":          {planted{"services/operations/a.go", own + "services/operations/takeover"}, "runs without it"},
		"operations calls tenancy":             {planted{"services/operations/internal/api/a.go", own + "gen/go/tenantpilot/tenancy/v1"}, "operations does not call tenancy"},
		"operations calls inventory in a test": {planted{"services/operations/a_test.go", own + "gen/go/tenantpilot/inventory/v1"}, "operations does not call inventory"},
		"tenancy calls operations":             {planted{"services/tenancy/a.go", own + "gen/go/tenantpilot/operations/v1"}, "tenancy does not call operations"},
		"inventory calls operations":           {planted{"services/inventory/a.go", own + "gen/go/tenantpilot/operations/v1"}, ""},
		"the gateway calls inventory":          {planted{"services/gateway/a.go", own + "gen/go/tenantpilot/inventory/v1"}, ""},
		"the takeover calls tenancy":           {planted{"services/operations/takeover/a.go", own + "gen/go/tenantpilot/tenancy/v1"}, ""},
		"a stage in another stage":             {planted{"services/operations/takeover/repoint/a.go", own + "services/operations/takeover/verify"}, "stands alone"},
		"a stage in the core":                  {planted{"services/operations/takeover/ledger/a.go", own + "services/operations/takeover/adopt"}, "stands alone"},
		"a stage in another stage's tests":     {planted{"services/operations/takeover/repoint/a_test.go", own + "services/operations/takeover/verify"}, ""},
		"a stage in the takeover's command":    {planted{"services/operations/takeover/a.go", own + "services/operations/takeover/adopt"}, ""},
		"the core in a stage":                  {planted{"services/operations/takeover/adopt/a.go", own + "services/operations/takeover/ledger"}, ""},
		"the takeover calls inventory":         {planted{"services/operations/takeover/a.go", own + "gen/go/tenantpilot/inventory/v1"}, "does not call inventory"},
		"a service without a row":              {planted{"services/probe/a.go", own + "gen/go/tenantpilot/operations/v1"}, `has no "probe": add a row`},
		"the authorization options":            {planted{"services/tenancy/a.go", own + "gen/go/tenantpilot/authz/v1"}, ""},
		"a database in the gateway":            {planted{"services/gateway/gateway.go", "github.com/jackc/pgx/v5"}, "no database"},
		"a database in the gateway's tests":    {planted{"services/gateway/a_test.go", own + "pkg/pg"}, "no database"},
		"SQL in the gateway":                   {planted{"services/gateway/a.go", "database/sql"}, "no database"},
		"Graph in the gateway":                 {planted{"services/gateway/internal/web/a.go", own + "pkg/graph"}, "never calls Graph"},
		"runs in the gateway":                  {planted{"services/gateway/internal/web/a.go", own + "pkg/work"}, "works on none"},
		"a sibling in the gateway":             {planted{"services/gateway/internal/console/a.go", own + "services/gateway/internal/jsonapi"}, "do not know each other"},
		"a new sibling in the gateway":         {planted{"services/gateway/internal/probe/a.go", own + "services/gateway/internal/live"}, "do not know each other"},
		"the console in web":                   {planted{"services/gateway/internal/web/a.go", own + "services/gateway/internal/console"}, "do not know each other"},
		"words in the console":                 {planted{"services/gateway/internal/console/a.go", own + "services/gateway/internal/words"}, ""},
		"protos in the store":                  {planted{"services/probe/internal/store/a.go", own + "gen/go/tenantpilot/authz/v1"}, "proto stops"},
		"gRPC in the store":                    {planted{"services/probe/internal/store/a.go", "google.golang.org/grpc/codes"}, "pkg/errs or plain"},
		"Graph in the store":                   {planted{"services/probe/internal/store/a.go", own + "pkg/graph"}, "PostgreSQL only"},
		"calls in the store":                   {planted{"services/probe/internal/store/a.go", own + "pkg/rpc"}, "PostgreSQL only"},
		"gRPC in the store's tests":            {planted{"services/probe/internal/store/a_test.go", "google.golang.org/grpc/codes"}, ""},
		"SQL in the api":                       {planted{"services/probe/internal/api/a.go", "github.com/jackc/pgx/v5/pgxpool"}, "internal/store"},
		"database/sql in the api":              {planted{"services/probe/internal/api/a.go", "database/sql"}, "internal/store"},
		"Graph in the api":                     {planted{"services/probe/internal/api/a.go", own + "pkg/graph"}, "only jobs"},
		"the catalog in the api":               {planted{"services/probe/internal/api/a.go", own + "pkg/graph/catalog"}, "only jobs"},
		"Azure in the api":                     {planted{"services/probe/internal/api/a.go", "github.com/Azure/azure-sdk-for-go/sdk/azcore"}, "only jobs"},
		"SQL in a worker":                      {planted{"services/probe/internal/sweeper/a.go", "github.com/jackc/pgx/v5"}, "internal/store"},
		"database/sql in a worker":             {planted{"services/probe/internal/sweeper/a.go", "database/sql"}, "internal/store"},
		"a log in a worker":                    {planted{"services/probe/internal/sweeper/a.go", "log/slog"}, ""},
		"Graph in a worker":                    {planted{"services/probe/internal/sweeper/a.go", own + "pkg/graph"}, ""},
		"a log in the domain":                  {planted{"services/probe/internal/probe/a.go", "log/slog"}, "the interceptor logs"},
		"SQL in the domain":                    {planted{"services/probe/internal/probe/a.go", "github.com/jackc/pgx/v5"}, "the domain imports"},
		"database/sql in the domain":           {planted{"services/probe/internal/probe/a.go", "database/sql"}, "no I/O"},
		"gRPC in the domain":                   {planted{"services/probe/internal/probe/a.go", "google.golang.org/grpc"}, "the domain imports"},
		"protos in the domain":                 {planted{"services/operations/internal/run/a.go", own + "gen/go/tenantpilot/operations/v1"}, "the domain imports"},
		"HTTP in the domain":                   {planted{"services/probe/internal/probe/a.go", "net/http"}, "no I/O"},
		"another room in the domain":           {planted{"services/probe/internal/probe/a.go", own + "services/probe/internal/store"}, "the domain imports"},
		"a library in the domain":              {planted{"services/probe/internal/probe/a.go", "golang.org/x/sync/errgroup"}, "the domain imports"},
		"errors in the domain":                 {planted{"services/probe/internal/probe/a.go", own + "pkg/errs"}, ""},
		"the domain below another folder":      {planted{"services/probe/internal/probe/part/a.go", "net/http"}, "no I/O"},
		"the domain's tests":                   {planted{"services/probe/internal/probe/a_test.go", "net/http"}, ""},
		"a domain that cron belongs to":        {planted{"services/probe/internal/probe/a.go", "github.com/netresearch/go-cron"}, ""},
		"a service in pkg":                     {planted{"pkg/errs/a.go", own + "services/tenancy"}, "knows no service"},
		"a service in tests of pkg":            {planted{"pkg/errs/a_test.go", own + "services/tenancy"}, "knows no service"},
		"protos in pkg":                        {planted{"pkg/page/a_test.go", own + "gen/go/tenantpilot/operations/v1"}, "no service's words"},
		"the run store's protos in pkg/work":   {planted{"pkg/work/a.go", own + "gen/go/tenantpilot/operations/v1"}, ""},
		"other protos in pkg/work":             {planted{"pkg/work/a.go", own + "gen/go/tenantpilot/tenancy/v1"}, "no service's words"},
		"the authorization options in pkg/rpc": {planted{"pkg/rpc/a.go", own + "gen/go/tenantpilot/authz/v1"}, ""},
		"other protos in pkg/rpc":              {planted{"pkg/rpc/a.go", own + "gen/go/tenantpilot/tenancy/v1"}, "no service's words"},
		"other protos in rpctest":              {planted{"pkg/testkit/rpctest/a.go", own + "gen/go/tenantpilot/tenancy/v1"}, "no service's words"},
		"other protos in tests of pkg/rpc":     {planted{"pkg/rpc/a_test.go", own + "gen/go/tenantpilot/tenancy/v1"}, ""},
		"SQL in cmd":                           {planted{"services/probe/cmd/probe/main.go", "database/sql"}, "no decisions"},
		"a library in cmd":                     {planted{"services/probe/cmd/probe/main.go", "github.com/jackc/pgx/v5"}, "no decisions"},
		"errors in cmd":                        {planted{"services/operations/takeover/cmd/takeover/main.go", own + "pkg/errs"}, "no decisions"},
		"the front door in cmd":                {planted{"services/probe/cmd/probe/main.go", own + "services/probe"}, ""},
		"the testkit in a service":             {planted{"services/probe/internal/sweeper/a.go", own + "pkg/testkit/graphsim"}, "not shipped"},
		"the testkit in pkg":                   {planted{"pkg/work/a.go", own + "pkg/testkit/pgtest"}, "not shipped"},
		"the testkit in a test":                {planted{"services/probe/internal/sweeper/a_test.go", own + "pkg/testkit/graphsim"}, ""},
		"the testkit in a bench":               {planted{"services/operations/bench/a.go", own + "pkg/testkit/devca"}, ""},
		"the testkit in a test's own package":  {planted{"pkg/work/worktest/a.go", own + "pkg/testkit/pgtest"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := Check(tt.world())
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%s:3: imports %s: ", tt.file, tt.imports)
			switch {
			case tt.want == "" && len(found) > 0:
				t.Errorf("got %q, want it allowed", found)
			case tt.want != "" && (len(found) == 0 || !strings.HasPrefix(found[0], want) || !strings.Contains(found[0], tt.want)):
				t.Errorf("got %q, want %s…%s", found, want, tt.want)
			}
		})
	}
}

// world is a checkout with the planted file in it. The folder sweeper holds a worker.
func (p planted) world() fstest.MapFS {
	files := fstest.MapFS{p.file: {Data: []byte("package a\n\nimport _ \"" + p.imports + "\"\n")}}
	if dir := path.Dir(p.file); path.Base(dir) == "sweeper" {
		files[dir+"/sweeper.go"] = &fstest.MapFile{Data: []byte("package a\n\nimport _ \"context\"\n")}
	}
	return files
}
