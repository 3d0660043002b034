package roster

import (
	"errors"
	"strings"
	"testing"
)

func TestTheTableAndTheCheckoutAgree(t *testing.T) {
	t.Parallel()
	if err := Check("../../.."); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownNameIsAnError(t *testing.T) {
	t.Parallel()
	if s, err := Find("probe"); err == nil || !strings.Contains(err.Error(), File) {
		t.Errorf("got %+v, %v, want an error that names %s", s, err, File)
	}
}

func TestWhatIsMissingIsSaidInASentence(t *testing.T) {
	t.Parallel()
	rows := func(more ...Service) []Service { return append([]Service{{Name: "operations", Number: 1}}, more...) }
	const work = "use (\n\t./services/operations\n)\n"
	tests := map[string]struct {
		rows    []Service
		folders []string
		work    string
		want    string
	}{
		"a folder without a row": {
			rows: rows(), folders: []string{"operations", "probe"}, work: work + "use ./services/probe\n",
			want: "services/probe has no row in the table of services: add one to deploy/local/roster/table.go",
		},
		"a row without a folder": {
			rows: rows(Service{Name: "probe", Number: 4}), folders: []string{"operations"}, work: work,
			want: "deploy/local/roster/table.go has a row for probe, but there is no services/probe/go.mod",
		},
		"a module outside the workspace": {
			rows: rows(Service{Name: "probe", Number: 4}), folders: []string{"operations", "probe"}, work: work,
			want: "go.work does not use ./services/probe: add it there",
		},
		"one number twice": {
			rows: rows(Service{Name: "probe", Number: 1}), folders: []string{"operations", "probe"}, work: work + "use ./services/probe\n",
			want: "deploy/local/roster/table.go: operations and probe have the same number, 1, and so the same ports",
		},
		"a call upwards": {
			rows: rows(Service{Name: "probe", Number: 4, Calls: []string{"later"}}), folders: []string{"operations", "probe"}, work: work + "use ./services/probe\n",
			want: `deploy/local/roster/table.go: probe calls "later", which has no row above it`,
		},
		"below the gateway": {
			rows: append([]Service{{Name: "gateway", Web: true}}, rows()...), folders: []string{"gateway", "operations"}, work: work + "use ./services/gateway\n",
			want: "deploy/local/roster/table.go: gateway must be the last row: it calls every other service",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := errors.Join(checkRows(tt.rows), checkFolders(tt.rows, tt.folders, tt.work))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
