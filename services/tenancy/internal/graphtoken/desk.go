package graphtoken

import (
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	margin         = 5 * time.Minute  // a token is renewed this long before it ends
	refusalLasts   = 30 * time.Second // a wrong secret is tried at most this often
	unreachableFor = 2 * time.Second  // calls that waited for a failed one fail with it
	patience       = 6 * time.Second  // how long an authority may take
	tenantAuth     = "TENANT_AUTH"
)

// desk is what is remembered of one tenant. Who holds its turn may read and write
// the other fields.
type desk struct {
	turn       chan struct{} // a lock, held while there is a value in it; waiting for it can end with a context
	generation string
	token      Token
	fetchedAt  time.Time
	renewAt    time.Time
	refusal    error
	refusedTil time.Time
}

// answer is a token, or the error why there is none.
type answer struct {
	token Token
	err   error
}

// remembered returns the answer that is still good, and whether there is one. With
// force, a token that was fetched before the call is not good.
func (d *desk) remembered(generation string, now time.Time, force bool, asked time.Time) (answer, bool) {
	switch {
	case d.generation != generation:
		return answer{}, false
	case d.refusal != nil && now.Before(d.refusedTil):
		return answer{err: d.refusal}, true
	case d.token.Value == "" || !now.Before(d.renewAt):
		return answer{}, false
	case force && !d.fetchedAt.After(asked):
		return answer{}, false
	}
	return answer{token: d.token}, true
}

func (d *desk) remember(generation string, now time.Time, t Token, err error) {
	d.generation, d.token, d.refusal = generation, t, err
	switch {
	case err == nil:
		d.fetchedAt = now
		// Three quarters of the life of a token that lives only for minutes are used.
		d.renewAt = t.ExpiresAt.Add(-min(margin, t.ExpiresAt.Sub(now)/4))
	case errs.Reason(err) == tenantAuth:
		d.refusedTil = now.Add(refusalLasts)
	default:
		d.refusedTil = now.Add(unreachableFor)
	}
}
