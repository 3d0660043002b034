package kind

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
)

// GUID derives an id in the shape of Microsoft's from what it is made of: the
// same parts give the same id.
func GUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return formatGUID(sum[:16])
}

func RandomGUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it would crash the process instead
	return formatGUID(b[:])
}

func formatGUID(b []byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

const ZeroGUID = "00000000-0000-0000-0000-000000000000"
