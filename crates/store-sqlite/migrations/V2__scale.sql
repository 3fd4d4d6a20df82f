-- Statistics of whole hours and days (folded from `rollups`).
-- Sums over `span` minutes (1, 10, 60 or 1440) from minute `start` on; name or queue -1: over all of them.
CREATE TABLE rollup_sums (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    span INTEGER NOT NULL,
    start INTEGER NOT NULL,
    name INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX rollup_sums_by_start ON rollup_sums (project, span, start, name, queue);
-- Spans whose sums, with those of all longer spans around them, are not what `rollups` adds up to, until they are folded.
CREATE TABLE unfolded (
    span INTEGER NOT NULL,
    start INTEGER NOT NULL,
    project INTEGER NOT NULL,
    stamp INTEGER NOT NULL, -- another one whenever what is below has changed
    PRIMARY KEY (span, start, project)
) WITHOUT ROWID;
INSERT INTO unfolded (span, start, project, stamp) SELECT DISTINCT 1, minute, project, 0 FROM rollups;
-- From which minute on `rollups`, sums of hours and sums of days are kept.
CREATE TABLE rollup_horizons (
    project INTEGER PRIMARY KEY,
    minutes INTEGER NOT NULL,
    hours INTEGER NOT NULL,
    days INTEGER NOT NULL
);

-- Search: which blocks of tasks may hold what is looked for. One row says where the indexer stands: tasks below `indexed_until`
-- are in segments, and changes of tasks below `indexing_until` are noted.
CREATE TABLE search_state (
    indexed_until INTEGER NOT NULL,
    indexing_until INTEGER NOT NULL,
    version INTEGER NOT NULL,
    folded_at INTEGER NOT NULL
);
INSERT INTO search_state VALUES (0, 0, 0, 0);
CREATE TABLE search_segments (
    id INTEGER PRIMARY KEY,
    is_patch INTEGER NOT NULL,
    low INTEGER NOT NULL, -- keys of its tasks: from here on,
    high INTEGER NOT NULL, -- and below this
    tasks INTEGER NOT NULL,
    postings INTEGER NOT NULL,
    bucket_bits INTEGER NOT NULL,
    opaque BLOB NOT NULL
);
-- A place is the number of a segment and of a bucket in it.
CREATE TABLE search_buckets (
    place INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
-- Tasks that have changed since they were indexed, or came below what was.
CREATE TABLE search_changes (
    id INTEGER PRIMARY KEY,
    key INTEGER NOT NULL
);

-- Retention.



PRAGMA user_version = 2;
