-- +goose Up

-- What belongs to a run is written by the statement that writes the run, or under
-- its lock, so it cannot be without one. Four foreign keys checked that again, row
-- by row: a look-up and a lock of the run for each, and WAL for the lock. ADR 0016.
alter table run_event drop constraint run_event_run_id_fkey;
alter table run_lease drop constraint run_lease_run_id_fkey;
alter table run_request drop constraint run_request_run_id_fkey;
alter table run_label drop constraint run_label_run_id_fkey;

-- What they did besides: whoever removes runs, removes what belongs to them.
-- +goose StatementBegin
create function run_takes_its_own_along() returns trigger language plpgsql as $$
begin
	delete from run_event using gone where run_id = gone.id;
	delete from run_lease using gone where run_id = gone.id;
	delete from run_request using gone where run_id = gone.id;
	delete from run_label using gone where run_id = gone.id;
	return null;
end $$;
-- +goose StatementEnd
create trigger run_takes_its_own_along after delete on operation_runs
	referencing old table as gone for each statement execute function run_takes_its_own_along();
