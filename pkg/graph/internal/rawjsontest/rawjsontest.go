// Package rawjsontest makes random JSON for tests of what reads raw JSON.
package rawjsontest

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// Tree draws a random JSON value, in the types that encoding/json decodes into.
func Tree(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return json.Number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number"))
		case 3:
			return rapid.String().Draw(t, "string")
		case 4:
			return rapid.SliceOfN(Tree(depth-1), 0, 4).Draw(t, "array")
		default:
			return rapid.MapOfN(rapid.StringMatching(`[a-h"\\é]{1,3}`), Tree(depth-1), 0, 4).Draw(t, "object")
		}
	})
}

// write renders v with random key order and space.
func write(b *strings.Builder, v any, r *rand.Rand) {
	space := func() { b.WriteString(strings.Repeat(" ", r.IntN(3)) + strings.Repeat("\n", r.IntN(2))) }
	space()
	defer space()
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			text, _ := json.Marshal(k)
			b.Write(text)
			space()
			b.WriteByte(':')
			write(b, v[k], r)
		}
		space()
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, item, r)
		}
		b.WriteByte(']')
	default:
		text, _ := json.Marshal(v)
		b.Write(text)
	}
}

// Render returns the JSON text of v. The seed decides the order of keys and where
// space stands.
func Render(v any, seed uint64) json.RawMessage {
	var b strings.Builder
	write(&b, v, rand.New(rand.NewPCG(seed, 0)))
	return json.RawMessage(b.String())
}
