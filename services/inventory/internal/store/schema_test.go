package store_test

import (
	"flag"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
	"github.com/tenantpilot/tenantpilot/services/inventory"
)

var update = flag.Bool("update", false, "write schema.sql anew")

// schema.sql is what the migrations add up to, to be read and reviewed.
func TestSchemaSnapshot(t *testing.T) {
	t.Parallel()
	pgtest.MatchSchema(t, pgtest.New(t, inventory.Name, inventory.Service.Migrate), "schema.sql", *update)
}
