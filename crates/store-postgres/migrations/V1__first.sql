-- Numbers that point to `terms` use 0 for "not known". Instants are microseconds since the Unix epoch. What is written often
-- leaves room on its pages, so that a changed row stays on its page and no index has to be told.

CREATE TABLE settings (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
-- Keys the hash of task ids, so that nobody outside can make ids collide.
INSERT INTO settings VALUES ('task_id_seed', ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint);

-- Engines, task types, queues and workers, by number. Rows are never changed or deleted.
CREATE TABLE terms (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL UNIQUE
);

CREATE TABLE projects (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
INSERT INTO projects (name) VALUES ('default');

-- `key` is the microsecond of first sight, shifted left by 10 bits, and a tie breaker: ranges of time are ranges of keys.
CREATE TABLE tasks (
    key bigint NOT NULL,
    hash bigint NOT NULL, -- of project and task_id
    project integer NOT NULL,
    engine integer NOT NULL,
    name integer NOT NULL,
    queue integer NOT NULL,
    worker integer NOT NULL,
    state smallint NOT NULL,
    task_id bytea NOT NULL, -- a byte 1 and the 16 of a canonical UUID, or a byte 0 and text
    record bytea NOT NULL,
    PRIMARY KEY (project, key)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX tasks_by_hash ON tasks (hash);
CREATE INDEX tasks_by_state ON tasks (project, state, key) WHERE state <> 4;
CREATE INDEX tasks_by_name ON tasks (project, name, key);
-- What would shrink is compressed already.
ALTER TABLE tasks ALTER COLUMN record SET STORAGE EXTERNAL;

-- From the hash of an id that a task names (its root, parent, group ...) to that task.
CREATE TABLE task_links (
    project integer NOT NULL,
    link bigint NOT NULL,
    key bigint NOT NULL,
    PRIMARY KEY (project, link, key)
);

CREATE TABLE agents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project integer NOT NULL,
    name text NOT NULL,
    profile text NOT NULL,
    buffer text,
    adapters text NOT NULL DEFAULT '{}',
    lost_batches bigint NOT NULL DEFAULT 0,
    quarantined_events bigint NOT NULL DEFAULT 0,
    problem text,
    first_seen_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    UNIQUE (project, name)
) WITH (fillfactor = 50);

CREATE TABLE streams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent bigint NOT NULL,
    instance_id text NOT NULL,
    last_seq bigint NOT NULL,
    UNIQUE (agent, instance_id)
) WITH (fillfactor = 50);

CREATE SEQUENCE batch_numbers AS bigint;
CREATE TABLE batches (
    id bigint PRIMARY KEY,
    stream bigint NOT NULL,
    seq bigint NOT NULL,
    digest bigint NOT NULL,
    received_at bigint NOT NULL,
    events integer NOT NULL,
    body bytea NOT NULL,
    UNIQUE (stream, seq)
);
ALTER TABLE batches ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project integer NOT NULL,
    agent bigint NOT NULL,
    received_at bigint NOT NULL,
    reason text NOT NULL,
    raw text NOT NULL
);
CREATE INDEX quarantine_by_project ON quarantine (project, id);

-- Statistics per minute, task type and queue.
CREATE TABLE rollups (
    project integer NOT NULL,
    minute bigint NOT NULL,
    name integer NOT NULL,
    queue integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (project, minute, name, queue)
) WITH (fillfactor = 70);
ALTER TABLE rollups ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE workers (
    project integer NOT NULL,
    engine text NOT NULL,
    name text NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (project, name, engine)
) WITH (fillfactor = 70);

CREATE TABLE queues (
    project integer NOT NULL,
    engine text NOT NULL,
    name text NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (project, name, engine)
) WITH (fillfactor = 70);

-- What agents told of their schedulers' entries.
CREATE TABLE schedules (
    project integer NOT NULL,
    agent bigint NOT NULL,
    scheduler text NOT NULL,
    id text NOT NULL,
    data text NOT NULL,
    synced_at bigint NOT NULL,
    PRIMARY KEY (project, agent, scheduler, id)
);

CREATE TABLE commands (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project integer NOT NULL,
    id text NOT NULL,
    cmd text NOT NULL,
    args text NOT NULL,
    agent text,
    status smallint NOT NULL,
    result text,
    error text,
    message text,
    created_at bigint NOT NULL,
    finished_at bigint,
    created_by text NOT NULL,
    task_id text,
    idempotency_key text,
    run integer NOT NULL, -- of the brain that it was given to
    UNIQUE (project, id)
);
CREATE UNIQUE INDEX commands_by_idempotency_key ON commands (project, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX commands_by_project ON commands (project, number);
-- Task ids of commands come from people and may be long.
CREATE INDEX commands_by_task ON commands (project, md5(task_id), number) WHERE task_id IS NOT NULL;
CREATE INDEX commands_open ON commands (status) WHERE status < 2;

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project integer NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text,
    detail text,
    command_id text
);
CREATE INDEX audit_by_project ON audit (project, id);

CREATE TABLE agent_tokens (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    project integer NOT NULL,
    agent text,
    hash bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked_at bigint
);

CREATE TABLE api_keys (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    project integer NOT NULL,
    role smallint NOT NULL,
    hash bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE signin_links (
    hash bytea PRIMARY KEY,
    role smallint NOT NULL,
    created_at bigint NOT NULL,
    expires bigint NOT NULL,
    used_at bigint
);

CREATE TABLE sessions (
    hash bytea PRIMARY KEY,
    id text NOT NULL UNIQUE,
    role smallint NOT NULL,
    created_at bigint NOT NULL,
    expires bigint NOT NULL
);
