-- +goose Up

-- Watchers are told of events. Two columns say where an event stands:
--
-- txid, the transaction that wrote it. Numbers of a sequence become visible out of
-- order, so "greater than the last I saw" loses events. A reader keeps the snapshot
-- it last read at instead, and asks for the events of transactions that snapshot did
-- not see: those begun since (txid >= its xmax) and those in progress then (a list).
-- Nothing is lost, nothing comes twice, and a long transaction holds nobody up.
--
-- id, the order to tell them in. A run's events are numbered while its row is locked,
-- so within a run they never stand in another order than its sequence.
--
-- Both are empty in rows from before, which nobody can be waiting for: so no rewrite.
alter table run_event add column txid xid8;
alter table run_event add column id bigint;
create sequence run_event_id as bigint owned by run_event.id;
grant usage on sequence run_event_id to operations_app;
alter table run_event
	alter column txid set default pg_current_xact_id(),
	alter column id set default nextval('run_event_id');

-- The one index this costs the hot path: always appended to at its right end, and the
-- many events of one shared commit are one key. BRIN would cost less to write, but a
-- reader would scan everything since its last summary a hundred times a second.
create index event_by_transaction on run_event (txid);
