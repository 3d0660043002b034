package page

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
)

// FromConfig returns a Sealer with a configured key, 32 bytes in standard base64.
// Without a key it makes its own and logs a warning: its tokens are good until the
// process ends, and other replicas refuse them.
func FromConfig(key string, log *slog.Logger) (*Sealer, error) {
	if key == "" {
		log.Warn("no page key configured: page tokens are good for this process only")
		return NewSealer(RandomKey())
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	if err != nil {
		return nil, errors.New("page key: not base64")
	}
	return NewSealer(raw)
}
