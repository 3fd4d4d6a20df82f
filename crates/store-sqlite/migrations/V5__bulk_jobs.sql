-- Jobs over many tasks.
CREATE TABLE bulk_jobs (
    number INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    idempotency_key TEXT,
    data TEXT NOT NULL,
    UNIQUE (project, id)
);
CREATE UNIQUE INDEX bulk_jobs_by_idempotency_key ON bulk_jobs (project, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX bulk_jobs_open ON bulk_jobs (is_open) WHERE is_open = 1;

-- Their tasks, by the tasks' keys. States: 0 waiting, 1 claimed, 2 accepted, 3 refused, 4 unknown.
CREATE TABLE bulk_items (
    job INTEGER NOT NULL,
    key INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    state INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    engine TEXT NOT NULL,
    task_id TEXT NOT NULL,
    name TEXT,
    command TEXT,
    new_task_id TEXT,
    code TEXT,
    message TEXT,
    PRIMARY KEY (job, key)
) WITHOUT ROWID;
CREATE INDEX bulk_items_by_state ON bulk_items (job, state);
CREATE INDEX bulk_items_waiting ON bulk_items (job, lane) WHERE state = 0;
CREATE INDEX bulk_items_awaited ON bulk_items (job) WHERE state = 2 AND outcome = 0;
-- No task is in the hands of two jobs, ever.
CREATE UNIQUE INDEX bulk_items_once ON bulk_items (key) WHERE state IN (1, 2, 4);

PRAGMA user_version = 5;
