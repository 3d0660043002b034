package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// Moment is a time for people: in relative words, and exact when they point at it.
type Moment struct{ ISO, Exact, Words string }

// MomentOf puts t into words as of now, for example "2 min ago". The words of the zero
// time are empty.
func MomentOf(t, now time.Time) Moment {
	if t.IsZero() {
		return Moment{}
	}
	return Moment{
		ISO: t.UTC().Format(time.RFC3339), Exact: t.UTC().Format("2 Jan 2006, 15:04:05") + " UTC",
		Words: ago(now.Sub(t)),
	}
}

func ago(d time.Duration) string {
	switch {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	default:
		return fmt.Sprintf("%d days ago", d/(24*time.Hour))
	}
}

// Span puts a duration into words of at most two units, for example "1 min 34 s".
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
}

// Number writes n with a thin space between groups of three digits.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range s {
		if left := len(s) - i; i > 0 && left%3 == 0 && s[i-1] != '-' {
			b.WriteString("\u202f")
		}
		b.WriteRune(c)
	}
	return b.String()
}

// At is [MomentOf] for a time of a message. The words of an absent time are empty.
func At(t *timestamppb.Timestamp, now time.Time) Moment {
	if t == nil {
		return Moment{}
	}
	return MomentOf(t.AsTime(), now)
}

// ID writes an id as it is in addresses and forms.
func ID(n int64) string { return strconv.FormatInt(n, 10) }
