package graphtoken

import (
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	margin         = 5 * time.Minute  // a token is renewed that long before its end
	refusalLasts   = 30 * time.Second // a wrong secret is not tried more often
	unreachableFor = 2 * time.Second  // whoever waited in line shares the answer
	patience       = 6 * time.Second  // with an authority that does not answer
	tenantAuth     = "TENANT_AUTH"
)

// desk is one tenant's: whoever holds its turn may read and write the rest.
type desk struct {
	turn       chan struct{} // holds one value while somebody is at it: a lock that ctx can leave
	generation string
	token      Token
	fetchedAt  time.Time
	renewAt    time.Time
	refusal    error
	refusedTil time.Time
}

// answer is what a desk answers: a token or why there is none.
type answer struct {
	token Token
	err   error
}

// remembered is the answer that is still good, if there is one. Whoever forces
// takes no token that was fetched before they asked.
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
		// A token shorter than the margin is still good for most of its life.
		d.renewAt = t.ExpiresAt.Add(-min(margin, t.ExpiresAt.Sub(now)/4))
	case errs.Reason(err) == tenantAuth:
		d.refusedTil = now.Add(refusalLasts)
	default:
		d.refusedTil = now.Add(unreachableFor)
	}
}
