package fair

import (
	"fmt"
	"testing"
)

func counted(active map[Owner]int) Census {
	c := NewCensus()
	for o, n := range active {
		c.Add(o, n)
	}
	return c
}

func TestWorkspacesThatMayBeginARun(t *testing.T) {
	t.Parallel()
	active := counted(map[Owner]int{{1, 1}: 3, {2, 1}: 1, {2, 2}: 1, {4, 1}: 1})
	tests := map[string]struct {
		room room
		over bool
		want string
	}{
		"fewest active first, then in turn": {room: room{free: 5}, want: "[3 5 4 2 1]"},
		"not beyond the share":              {room: room{free: 5, holds: map[int64]int{1: 3, 3: 3}}, want: "[5 4 2]"},
		"beyond it if nobody else waits":    {room: room{free: 2, holds: map[int64]int{1: 3, 3: 3}}, over: true, want: "[3 5 4 2 1]"},
		"but for the last place":            {room: room{free: 1}, over: true, want: "[]"},
		"the last place is for the others":  {room: room{free: 1, holds: map[int64]int{1: 3}}, want: "[3 5 4 2]"},
		"no place":                          {room: room{}, want: "[]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Choice{Active: active, room: tt.room, share: 3, spare: 1, over: tt.over}
			if got := fmt.Sprint(c.Workspaces([]int64{3, 4, 5, 1, 2})); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestTenantsThatMayBeginARun(t *testing.T) {
	t.Parallel()
	active := counted(map[Owner]int{{1, 1}: 2, {1, 2}: 1, {1, 0}: 5, {2, 3}: 2})
	tests := map[string]struct {
		over   bool
		parked map[Owner]int
		want   string
	}{
		"fewest active first, two at most": {want: "[3 4 2 0]"},
		"more if nobody else waits":        {over: true, want: "[3 4 2 1 0]"},
		"but not of one that waits":        {over: true, parked: map[Owner]int{{1, 1}: 1}, want: "[3 4 2 0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Choice{Active: active, room: room{free: 5, parked: tt.parked}, over: tt.over}
			if got := fmt.Sprint(c.Tenants(1, []int64{0, 1, 2, 3, 4})); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
