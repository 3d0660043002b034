package page

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
)

// FromConfig makes a Sealer of a configured key, 32 bytes as standard base64.
// Without one it makes its own and warns: its tokens end with the process and
// are refused by other replicas.
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
