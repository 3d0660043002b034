package run

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func bucketOf(d time.Duration) int {
	return int(math.Ceil(math.Log(max(float64(d.Microseconds()), 1)) / math.Log(durationGrowth)))
}

func TestQuantilesAreWithinATenth(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		took := make([]time.Duration, 1+dice.IntN(50))
		d := Durations{}
		for i := range took {
			took[i] = time.Duration(math.Exp(dice.Float64()*34)) * time.Microsecond // to eighteen years
			d[bucketOf(took[i])]++
		}
		slices.Sort(took)
		require.EqualValues(t, len(took), d.Count())
		for _, q := range []float64{0.5, 0.95, 1} {
			exact := took[int(math.Ceil(q*float64(len(took))))-1]
			require.InEpsilon(t, exact, d.Quantile(q), 0.1, "q %v of %v", q, took)
		}
	}
}

func TestNoDurationsHaveNoQuantile(t *testing.T) {
	t.Parallel()
	require.Zero(t, Durations{}.Quantile(0.5))
	require.Equal(t, time.Microsecond, Durations{0: 3}.Quantile(0.95), "what took no time")
}
