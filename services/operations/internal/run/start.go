package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Policy is what a start does if there is an active run of its identity.
type Policy int

// The policies.
const (
	UseExisting Policy = iota
	FailOnExisting
	CancelExisting
)

// Start describes a run to start.
type Start struct {
	WorkspaceID    int64
	TenantID       *int64
	UserID         *int64
	InitiatorName  string
	Type           Type
	IdentityInputs string
	Context        json.RawMessage // a JSON object
	Caller         string          // the calling service, to which RequestID belongs
	RequestID      string          // empty: none
	Digest         []byte          // of the content of the request and who made it
	Policy         Policy
	Holder         string // empty: queued for a worker
	RetryOf        *int64
	RetryNumber    int
	ParentRunID    *int64
	Traceparent    string
}

// Identity returns sha256("{tenant_id}|{type}|{inputs}"); without a tenant, the tenant id
// is empty.
func Identity(tenantID *int64, typ, inputs string) []byte {
	tenant := ""
	if tenantID != nil {
		tenant = strconv.FormatInt(*tenantID, 10)
	}
	sum := sha256.Sum256([]byte(tenant + "|" + typ + "|" + inputs))
	return sum[:]
}

// Identity returns the identity of the run that s describes.
func (s Start) Identity() []byte { return Identity(s.TenantID, s.Type.Name, s.IdentityInputs) }

// MaxLabel is the length in bytes up to which a context value becomes a label.
const MaxLabel = 256

// Labels returns the values of the context that lists can be filtered by: for each search
// key K of the type, context.K, or else context.inputs.K. Only strings, numbers and
// booleans of at most [MaxLabel] bytes become labels.
func (s Start) Labels() map[string]string {
	var ctx map[string]json.RawMessage
	if !s.mayHaveLabels() || json.Unmarshal(s.Context, &ctx) != nil {
		return nil
	}
	var inputs map[string]json.RawMessage
	if raw, ok := ctx["inputs"]; ok {
		_ = json.Unmarshal(raw, &inputs) // not an object: no inputs
	}
	labels := map[string]string{}
	for _, key := range s.Type.SearchKeys {
		raw, ok := ctx[key]
		if !ok {
			raw = inputs[key]
		}
		if v, ok := scalar(raw); ok {
			labels[key] = v
		}
	}
	return labels
}

// mayHaveLabels reports whether the context contains a search key, or an escape that may
// hide one. That is faster to find out than to decode the context.
func (s Start) mayHaveLabels() bool {
	seen := func(key string) bool { return bytes.Contains(s.Context, []byte(key)) }
	return slices.ContainsFunc(s.Type.SearchKeys, seen) || bytes.Contains(s.Context, []byte(`\u`))
}

// scalar returns the text of a string, number or boolean that may become a label.
func scalar(raw json.RawMessage) (string, bool) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return "", false
	}
	text := string(raw)
	switch v := v.(type) {
	case string:
		text = v
	case float64, bool:
	default:
		return "", false
	}
	return text, len(text) <= MaxLabel
}

// Retry returns an error if s must not repeat original. Otherwise it sets the number of s
// in the chain of retries.
func (s *Start) Retry(original *Run) error {
	switch {
	case original.Type != s.Type.Name || string(original.IdentityHash) != string(Identity(s.TenantID, s.Type.Name, s.IdentityInputs)):
		return errs.Invalid("retry_of", "run %d is other work: a retry has its original's type and identity", original.ID)
	case original.Status != Completed:
		return errs.Invalid("retry_of", "run %d has not ended yet", original.ID)
	}
	s.RetryNumber = original.RetryNumber + 1
	return nil
}
