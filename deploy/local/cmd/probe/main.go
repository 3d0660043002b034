// Command probe requests a URL and exits with 0 if the status is 200. It is the health
// check of containers, which have no shell.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/rpc/roots"
)

func main() {
	authority := flag.String("ca", "", "PEM file of the authority to trust, for https")
	flag.Parse()
	if err := probe(flag.Arg(0), *authority); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func probe(url, authority string) error {
	client := http.Client{Timeout: 3 * time.Second}
	if authority != "" {
		trusted, err := roots.Only(authority)
		if err != nil {
			return err
		}
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
