package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenantpilot/tenantpilot/pkg/service/pause"
)

func TestFor(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ wait, lives, passes time.Duration }{
		"the whole time":         {time.Minute, time.Hour, time.Minute},
		"until the context ends": {time.Hour, time.Minute, time.Minute},
		"no time":                {0, time.Minute, 0},
		"less than no time":      {-time.Minute, time.Minute, 0},
		"after the context":      {0, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.lives)
				defer cancel()
				began := time.Now()
				err := pause.For(ctx, tt.wait)
				require.Equal(t, tt.passes, time.Since(began))
				require.Equal(t, tt.lives <= tt.passes, err != nil)
			})
		})
	}
}
