-- Statistics of whole hours and days (folded from `rollups`).
-- Sums over `span` minutes (1, 10, 60 or 1440) from minute `start` on; name or queue -1: over all of them.
CREATE TABLE rollup_sums (
    project integer NOT NULL,
    span integer NOT NULL,
    start bigint NOT NULL,
    name integer NOT NULL,
    queue integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (project, span, start, name, queue)
) WITH (fillfactor = 90, toast_tuple_target = 8160);
ALTER TABLE rollup_sums ALTER COLUMN data SET STORAGE EXTERNAL;
-- Spans whose sums, with those of all longer spans around them, are not what `rollups` adds up to, until they are folded.
CREATE TABLE unfolded (
    span integer NOT NULL,
    start bigint NOT NULL,
    project integer NOT NULL,
    stamp bigint NOT NULL, -- another one whenever what is below has changed
    PRIMARY KEY (span, start, project)
);
INSERT INTO unfolded (span, start, project, stamp) SELECT DISTINCT 1, minute, project, 0 FROM rollups;
-- From which minute on `rollups`, sums of hours and sums of days are kept.
CREATE TABLE rollup_horizons (
    project integer PRIMARY KEY,
    minutes bigint NOT NULL,
    hours bigint NOT NULL,
    days bigint NOT NULL
);

-- Search: which blocks of tasks may hold what is looked for. One row says where the indexer stands: tasks below `indexed_until`
-- are in segments, and changes of tasks below `indexing_until` are noted.
CREATE TABLE search_state (
    indexed_until bigint NOT NULL,
    indexing_until bigint NOT NULL,
    version bigint NOT NULL,
    folded_at bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO search_state VALUES (0, 0, 0, 0);
CREATE TABLE search_segments (
    id bigint PRIMARY KEY,
    is_patch boolean NOT NULL,
    low bigint NOT NULL, -- keys of its tasks: from here on,
    high bigint NOT NULL, -- and below this
    tasks integer NOT NULL,
    postings integer NOT NULL,
    bucket_bits integer NOT NULL,
    opaque bytea NOT NULL
);
-- A place is the number of a segment and of a bucket in it.
CREATE TABLE search_buckets (
    place bigint PRIMARY KEY,
    body bytea NOT NULL
);
-- Rows stay whole, on their page.
ALTER TABLE search_buckets SET (toast_tuple_target = 8160);
ALTER TABLE search_buckets ALTER COLUMN body SET STORAGE EXTERNAL;
-- Tasks that have changed since they were indexed, or came below what was.
CREATE TABLE search_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bigint NOT NULL
);

-- Retention.
-- The oldest rows go a few at a time: what they leave is to be found again before the tables have grown by a fifth.
ALTER TABLE batches SET (autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE task_links SET (autovacuum_vacuum_scale_factor = 0.05);

-- Replicas. Small tables, but logged ones: after a crash of the server, brains that live must not look as if they were gone.

-- Numbers the openings of streams: of two connections of one stream, the one with the greater number came later.
CREATE SEQUENCE stream_openings AS bigint;
-- Numbers the changes of any brain's connections.
CREATE SEQUENCE replica_changes AS bigint;

-- Brains that are here. Times are the server's, so that no brain's clock matters.
CREATE TABLE replicas (
    run integer PRIMARY KEY,
    name text NOT NULL,
    peer_url text, -- where other brains reach it
    peer_key text, -- what they show it when they pass a request on
    beat_at timestamptz NOT NULL,
    steady_since timestamptz NOT NULL, -- it has been beating without a gap since then
    changes bigint NOT NULL, -- the last one of its connections
    reads integer[] NOT NULL DEFAULT '{}' -- projects of which somebody reads the live stream there
) WITH (fillfactor = 50);

-- Agents' connections to them.
CREATE TABLE replica_connections (
    run integer NOT NULL,
    id bigint NOT NULL, -- in its brain
    project integer NOT NULL,
    agent bigint NOT NULL,
    agent_name text NOT NULL,
    stream bigint NOT NULL,
    opening bigint NOT NULL,
    engines text[] NOT NULL,
    connected_at bigint NOT NULL,
    PRIMARY KEY (run, id)
);

-- Who leads what, and until when unless the lease is renewed.
CREATE TABLE leases (
    name text PRIMARY KEY,
    run integer NOT NULL,
    until timestamptz NOT NULL
) WITH (fillfactor = 50);

