package graph

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// intuneMessage is what Intune puts, as a JSON string, where Graph has a sentence.
type intuneMessage struct {
	Message    string          `json:"Message"`
	Phrase     string          `json:"CustomApiErrorPhrase"`
	RetryAfter json.RawMessage `json:"RetryAfter"` // null, a number or a string
}

var (
	activityID = regexp.MustCompile(`Activity ID: ([0-9a-fA-F-]{36})`)
	secretText = regexp.MustCompile(`(?i)eyJ[\w-]+\.[\w-]+(\.[\w-]*)?|bearer\s+\S+|((client_)?secret|password|access_token|assertion)["']?\s*[=:]\s*["']?[^\s"'&,}]+`)
)

const maxMessage = 500

// readMessage unwraps Intune's message, which carries an activity id and a
// Retry-After of its own.
func (e *Error) readMessage(text string) {
	var in intuneMessage
	if strings.HasPrefix(strings.TrimSpace(text), "{") && json.Unmarshal([]byte(text), &in) == nil && in.Message != "" {
		if e.RetryAfter == 0 {
			e.RetryAfter = retryAfter(strings.Trim(string(in.RetryAfter), `"`), time.Time{})
		}
		if in.Phrase != "" {
			in.Message = in.Phrase + ": " + in.Message
		}
		text = in.Message
	}
	if m := activityID.FindStringSubmatch(text); m != nil {
		e.ActivityID = m[1]
	}
	e.Message = scrub(text)
}

// scrub makes foreign text fit for logs and pages: short, one line, no secrets.
func scrub(text string) string {
	text = secretText.ReplaceAllString(text, "[removed]")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "…"
	}
	return strings.TrimSpace(text)
}

// retryAfter reads seconds or a date; 0 means that none was given.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if s, err := strconv.ParseFloat(value, 64); err == nil && s > 0 && s < 1e8 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil && !now.IsZero() {
		return max(0, at.Sub(now))
	}
	return 0
}
