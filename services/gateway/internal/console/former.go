package console

import (
	"math"
	"net/http"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// formerAddress redirects from the address that the list of runs had in older
// versions.
func formerAddress(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/operations", http.StatusPermanentRedirect)
}

// formerAddressOfRun does the same for a run. It does not look whether there is one.
func (c *Console) formerAddressOfRun(w http.ResponseWriter, r *http.Request) {
	before, ok := web.ParseID(r.PathValue("run"))
	if !ok || before > math.MaxInt64-c.formerOffset {
		c.site.NoPage(w, r)
		return
	}
	http.Redirect(w, r, "/operations/"+words.ID(before+c.formerOffset), http.StatusPermanentRedirect)
}
