package roster

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the table says into the files")

// Each of these files has a part between two marks that is made from the table.
// `make generate` writes it.
func TestFilesFollowTheTable(t *testing.T) {
	t.Parallel()
	for _, part := range []struct{ file, begin, end, text string }{
		{"README.md", "<!-- generated: services -->\n", "<!-- generated: end -->", markdown(All())},
		{"deploy/prometheus.yml", "      # generated: targets\n", "      # generated: end", targets(All())},
	} {
		file := filepath.Join("../../..", part.file)
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(have), part.begin)
		_, after, ended := strings.Cut(rest, part.end)
		if !ok || !ended {
			t.Errorf("%s has no lines %q and %q", part.file, strings.TrimSpace(part.begin), strings.TrimSpace(part.end))
			continue
		}
		want := before + part.begin + part.text + part.end + after
		if want == string(have) {
			continue
		}
		if !*update {
			t.Errorf("%s does not follow the table of services in %s: run make generate", part.file, File)
			continue
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// markdown returns the table as the README shows it.
func markdown(services []Service) string {
	var b strings.Builder
	b.WriteString("| service | owns | calls | serves on | admin port |\n|---|---|---|---|---|\n")
	for _, s := range services {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %d |\n", s.Name, s.Owns, calls(s), serves(s), DefaultBase+s.Admin())
	}
	return b.String()
}

func calls(s Service) string {
	switch {
	case s.Web:
		return "all others"
	case len(s.Calls) == 0:
		return "nobody"
	}
	return strings.Join(s.Calls, ", ")
}

func serves(s Service) string {
	if s.Web {
		return fmt.Sprintf("HTTP %d", DefaultBase+s.Listen())
	}
	return fmt.Sprintf("gRPC %d", DefaultBase+s.Listen())
}

// targets returns the addresses of the containers that Prometheus scrapes.
func targets(services []Service) string {
	var all []string
	for _, s := range services {
		all = append(all, fmt.Sprintf("%s:%d", s.Name, DefaultBase+s.Admin()))
	}
	return "      - targets: [" + strings.Join(all, ", ") + "]\n"
}
