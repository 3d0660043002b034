// Command print writes the .proto files our protos import into a folder, from
// the descriptors that the Go modules carry: no registry of protos is needed,
// and .proto and Go code are always of one version.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var files = map[string][]string{
	"protovalidate": {"buf/validate/validate.proto"},
	"googleapis":    {"google/api/annotations.proto", "google/api/http.proto", "google/rpc/status.proto"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: print DIR")
		os.Exit(2)
	}
	if err := printAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "print:", err)
		os.Exit(1)
	}
}

func printAll(dir string) error {
	for module, paths := range files {
		for _, path := range paths {
			if err := printOne(filepath.Join(dir, module, path), path); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return nil
}

func printOne(out, path string) error {
	fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	p := protoprint.Printer{Indent: "  "}
	if err := p.PrintProtoFile(fd, f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
