package gateway

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tenantpilot/tenantpilot/pkg/obs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
)

// Every target is a required setting GATEWAY_<NAME>_TARGET, and the target of the row
// with that name.
func TestEveryTargetHasARow(t *testing.T) {
	t.Parallel()
	var targets Targets
	fields := reflect.ValueOf(&targets).Elem()
	for i := range fields.NumField() {
		fields.Field(i).SetString("target of " + fields.Type().Field(i).Name)
	}
	rows := targets.services()
	if len(rows) != fields.NumField() {
		t.Errorf("%d rows for %d targets", len(rows), fields.NumField())
	}
	for _, row := range rows {
		field, ok := fields.Type().FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, row.name) })
		if !ok || row.target != "target of "+field.Name {
			t.Errorf("the target of %s is %q", row.name, row.target)
		}
		if field.Tag.Get("env") != strings.ToUpper(row.name)+"_TARGET,notEmpty" || field.Tag.Get("envDefault") != "" {
			t.Errorf("the setting of %s is %q", row.name, field.Tag)
		}
	}
}

func TestMissingTarget(t *testing.T) {
	t.Setenv("GATEWAY_ACTOR_KEY", "actor-key.pem")
	t.Setenv("GATEWAY_TENANCY_TARGET", "tenancy:7102")
	t.Setenv("GATEWAY_INVENTORY_TARGET", "")
	var cfg Config
	err := obs.LoadConfig(EnvPrefix, &cfg)
	for _, missing := range []string{"GATEWAY_OPERATIONS_TARGET", "GATEWAY_INVENTORY_TARGET"} {
		if err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("the error does not name %s: %v", missing, err)
		}
	}
}

// A gateway without one of its services does not start, and says which row is missing.
func TestMissingRow(t *testing.T) {
	t.Parallel()
	for _, missing := range (Targets{}).services() {
		made, _ := partsOf(t)
		all := made.backends
		made.backends = slices.DeleteFunc(slices.Clone(all), func(b web.Backend) bool { return b.Name == missing.name })
		_, err := made.site(t.Context())
		if err == nil || !strings.Contains(err.Error(), "table") || !strings.Contains(err.Error(), "services/gateway/services.go") {
			t.Errorf("without %s: %v", missing.name, err)
		}
	}
}

// A row without one of its handlers keeps the gateway from starting too.
func TestMissingHandler(t *testing.T) {
	t.Parallel()
	made, _ := partsOf(t)
	made.handlers["tenancy"] = made.handlers["tenancy"][:4]
	_, err := made.site(t.Context())
	if err == nil || !strings.Contains(err.Error(), "POST /api/v1/workspaces/{workspace_id}/apiTokens") {
		t.Errorf("got %v", err)
	}
}
