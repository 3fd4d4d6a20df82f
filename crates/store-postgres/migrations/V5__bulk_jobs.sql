-- Jobs over many tasks.
CREATE TABLE bulk_jobs (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project integer NOT NULL,
    id text NOT NULL,
    created_at bigint NOT NULL,
    is_open boolean NOT NULL,
    idempotency_key text,
    data text NOT NULL,
    UNIQUE (project, id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX bulk_jobs_by_idempotency_key ON bulk_jobs (project, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX bulk_jobs_by_project ON bulk_jobs (project, number);
CREATE INDEX bulk_jobs_open ON bulk_jobs (number) WHERE is_open;

-- Their tasks, by the tasks' keys. States: 0 waiting, 1 claimed, 2 accepted, 3 refused, 4 unknown.
CREATE TABLE bulk_items (
    project integer NOT NULL,
    job bigint NOT NULL,
    key bigint NOT NULL,
    lane integer NOT NULL,
    state smallint NOT NULL,
    outcome smallint NOT NULL,
    engine text NOT NULL,
    task_id text NOT NULL,
    name text,
    command text,
    new_task_id text,
    code text,
    message text,
    PRIMARY KEY (job, key)
) WITH (fillfactor = 80);
CREATE INDEX bulk_items_by_state ON bulk_items (job, state, key);
CREATE INDEX bulk_items_waiting ON bulk_items (job, lane, key) WHERE state = 0;
CREATE INDEX bulk_items_awaited ON bulk_items (job, key) WHERE state = 2 AND outcome = 0;
-- No task is in the hands of two jobs, ever.
CREATE UNIQUE INDEX bulk_items_once ON bulk_items (project, key) WHERE state IN (1, 2, 4);
