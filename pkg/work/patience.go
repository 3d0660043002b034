package work

import (
	"context"
	"errors"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

// How often [Patiently] tries, for a minute and a half in all, and how long it
// waits between two tries.
const (
	patience        = 14
	firstPatience   = 250 * time.Millisecond
	longestPatience = 10 * time.Second
)

// Patiently calls a step of a job until it succeeds, for a minute and a half:
// what a job can wait out, for example a restart of its database, must not end
// its run. passing reports whether an error may pass. The error is the last one,
// and the cause of ctx's end if that is why it gave up.
func Patiently(ctx context.Context, passing func(error) bool, step func() error) error {
	wait := firstPatience
	for attempt := 1; ; attempt++ {
		err := step()
		switch {
		case err == nil, ctx.Err() != nil, attempt == patience, !passing(err):
			return err
		}
		if pause.For(ctx, wait) != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		wait = min(2*wait, longestPatience)
	}
}
