package ledger

import (
	"context"
	"fmt"
)

const readProgress = `-- takeover.readProgress
	select coalesce(max(last_id), 0) from tenantpilot_takeover.progress where stage = $1 and source = $2`

// Resume returns the last row that an interrupted pass of a stage is done with in a
// source; 0 if no pass was interrupted.
func (l *Ledger) Resume(ctx context.Context, stage, source string) (id int64, err error) {
	if err := l.Legacy.QueryRow(ctx, readProgress, stage, source).Scan(&id); err != nil {
		return 0, fmt.Errorf("read how far %s came: %w", stage, err)
	}
	return id, nil
}

// SaveProgress notes the last row ($3) that a pass of a stage ($1) is done with in a
// source ($2); it is for a batch with what the pass wrote.
const SaveProgress = `-- takeover.saveProgress
	insert into tenantpilot_takeover.progress (stage, source, last_id) values ($1, $2, $3)
	on conflict (stage, source) do update set last_id = excluded.last_id`

// Came notes the last row that a pass is done with.
func (l *Ledger) Came(ctx context.Context, stage, source string, id int64) error {
	if _, err := l.Legacy.Exec(ctx, SaveProgress, stage, source, id); err != nil {
		return fmt.Errorf("remember how far %s came: %w", stage, err)
	}
	return nil
}

const endProgress = `-- takeover.endProgress
	delete from tenantpilot_takeover.progress where stage = $1 and source = $2`

// Arrived ends a pass: the next one begins with the first row.
func (l *Ledger) Arrived(ctx context.Context, stage, source string) error {
	if _, err := l.Legacy.Exec(ctx, endProgress, stage, source); err != nil {
		return fmt.Errorf("end the pass of %s: %w", stage, err)
	}
	return nil
}

const forgetPasses = `-- takeover.forgetPasses
	delete from tenantpilot_takeover.progress`

// ForgetPasses forgets how far the passes of all stages came.
func (l *Ledger) ForgetPasses(ctx context.Context) error {
	_, err := l.Legacy.Exec(ctx, forgetPasses)
	return err
}
