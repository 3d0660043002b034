package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

// Policy says what Start does about an active run of the same identity.
type Policy int

// The policies.
const (
	UseExisting Policy = iota
	FailOnExisting
	CancelExisting
)

// Start is a request for a run.
type Start struct {
	WorkspaceID    int64
	TenantID       *int64
	UserID         *int64
	InitiatorName  string
	Type           Type
	IdentityInputs string
	Context        json.RawMessage // a JSON object
	Caller         string          // the calling service; scopes RequestID
	RequestID      string          // empty: not to be remembered
	Digest         []byte          // of everything the caller said, the actor included
	Policy         Policy
	Holder         string // empty: queued for a worker
	RetryOf        *int64
	RetryNumber    int
	ParentRunID    *int64
	Traceparent    string
}

// Identity answers sha256("{tenant_id}|{type}|{inputs}"), tenant empty when there is none.
func Identity(tenantID *int64, typ, inputs string) []byte {
	tenant := ""
	if tenantID != nil {
		tenant = strconv.FormatInt(*tenantID, 10)
	}
	sum := sha256.Sum256([]byte(tenant + "|" + typ + "|" + inputs))
	return sum[:]
}

// Identity answers the identity of the run s asks for.
func (s Start) Identity() []byte { return Identity(s.TenantID, s.Type.Name, s.IdentityInputs) }

// MaxLabel is how long a context value may be and still be searched for, in bytes.
const MaxLabel = 256

// Labels answers the searchable context of s: each search key of the type,
// from context.K or else context.inputs.K. Only strings, numbers and booleans
// of at most MaxLabel bytes become labels.
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

// mayHaveLabels reports whether any search key is to be seen in the context, which
// is quicker than to read it; an escape may hide one.
func (s Start) mayHaveLabels() bool {
	seen := func(key string) bool { return bytes.Contains(s.Context, []byte(key)) }
	return slices.ContainsFunc(s.Type.SearchKeys, seen) || bytes.Contains(s.Context, []byte(`\u`))
}

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

// Retry checks that s may repeat original and takes its place in the chain.
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
