-- +goose Up

-- How PostgreSQL looks after these tables. Its defaults wait until a fifth of a
-- table is dead: at five million runs that is a million, and the indexes of the
-- few active ones would have to be read through all of them.
-- The lock these take lets reads and writes go on.

-- Every run leaves two or three dead versions while it lives, then none.
alter table operation_runs set (
	autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
	autovacuum_vacuum_insert_scale_factor = 0.05,
	autovacuum_analyze_scale_factor = 0.02
);

-- Small and always moving: heartbeats are HOT and clean up after themselves, but
-- every run that ends leaves a dead row and a dead index entry, which the
-- reaper's look for expired leases walks over. Two thirds of each page are room
-- for the next versions: at a half, many workers beating at once left it.
alter table run_lease set (
	fillfactor = 30,
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
	autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000
);

-- Never updated, and deleted with their run only: what there is to do is to
-- freeze them little by little and to keep them visible to index-only scans.
alter table run_event set (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.02);
alter table run_request set (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.02);
alter table run_label set (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_scale_factor = 0.02);
