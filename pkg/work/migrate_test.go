package work

import (
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/pgtest"
)

func TestMigrateMayBeRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, "inventory", migrateInventory)
	ended := make(chan error)
	for range 3 {
		go func() { ended <- migrateInventory(t.Context(), db.OwnerURL) }()
	}
	for range 3 {
		if err := receive(t, ended, "end of the migration"); err != nil {
			t.Error(err)
		}
	}
	if _, err := db.Pool.Exec(t.Context(), "drop table river.river_job"); err == nil {
		t.Error("the app role may change River's schema")
	}
}
