package graphsim

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/kind"
	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// response is a complete response before it is sent. Faults change it, and
// batches contain it.
type response struct {
	status int
	header http.Header
	body   []byte
	broken bool // to be cut off in mid-body
}

func respond(status int, body []byte) *response {
	h := http.Header{}
	h.Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	h.Set("OData-Version", "4.0")
	return &response{status: status, header: h, body: body}
}

// refuse returns an error in Graph's shape.
func (c *call) refuse(status int, code, message string) *response {
	inner := rawjson.Object("date", c.at.UTC().Format("2006-01-02T15:04:05"), "request-id", c.requestID, "client-request-id", c.clientID)
	return respond(status, rawjson.Object("error", rawjson.Object("code", code, "message", message, "innerError", inner)))
}

// refuseIntune returns an error as Intune does behind Graph: the message is
// itself JSON, in a string.
func (c *call) refuseIntune(status int, code, message string, retryAfter int) *response {
	said := fmt.Sprintf("%s - Operation ID (for customer support): %s - Activity ID: %s - Url: https://fef.sim.manage.microsoft.com/StatelessService/%s?api-version=5024-04-01",
		message, kind.ZeroGUID, c.requestID, c.path)
	var after any
	if retryAfter > 0 {
		after = strconv.Itoa(retryAfter)
	}
	wrapped := rawjson.Object("_version", 3, "Message", said, "CustomApiErrorPhrase", "", "RetryAfter", after, "ErrorSourceService", "", "HttpHeaders", "{}")
	return c.refuse(status, code, string(wrapped))
}

// notFound returns the error for a missing object, in the words of the service
// that owns the kind.
func (c *call) notFound(k *kind.Kind, id string) *response {
	switch {
	case k.Name == kind.Groups.Name:
		return c.refuse(http.StatusNotFound, "Request_ResourceNotFound",
			fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", id))
	case k.Entra:
		return c.refuse(http.StatusNotFound, "ResourceNotFound", fmt.Sprintf("%s with id %s cannot be found.", k.Entity, id))
	}
	return c.refuseIntune(http.StatusNotFound, "ResourceNotFound", "An error has occurred", 0)
}

// noSegment returns the error for a path that this version of the API does not
// have.
func (c *call) noSegment(segment string) *response {
	return c.refuse(http.StatusBadRequest, "BadRequest", fmt.Sprintf("Resource not found for the segment '%s'.", segment))
}

// throttled returns a 429. It has no Retry-After if after is zero, as with
// Conditional Access.
func (c *call) throttled(k *kind.Kind, after int) *response {
	var r *response
	if k.Entra {
		r = c.refuse(http.StatusTooManyRequests, "TooManyRequests", "Too Many Requests")
	} else {
		r = c.refuseIntune(http.StatusTooManyRequests, "TooManyRequests", "Too many requests", after)
	}
	if after > 0 {
		r.header.Set("Retry-After", strconv.Itoa(after))
	}
	return r
}
