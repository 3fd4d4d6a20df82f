-- Numbers that point to `terms` use 0 for "not known". Instants are microseconds since the Unix epoch.

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
-- Keys the hash of task ids, so that nobody outside can make ids collide.
INSERT INTO settings VALUES ('task_id_seed', random());

-- Engines, task types, queues and workers, by number. Rows are never changed or deleted.
CREATE TABLE terms (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);

CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO projects VALUES (1, 'default');

-- `key` is the microsecond of first sight, shifted left by 10 bits, and a tie breaker: ranges of time are ranges of keys.
CREATE TABLE tasks (
    key INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    engine INTEGER NOT NULL,
    task_id NOT NULL, -- BLOB of 16 bytes for a canonical UUID, else TEXT
    state INTEGER NOT NULL,
    name INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    record BLOB NOT NULL
);
-- The rowid, which is the key, is the last column of every index.
CREATE INDEX tasks_by_state ON tasks (project, state) WHERE state <> 4;
CREATE INDEX tasks_by_name ON tasks (project, name);

-- From a task's id to its key. A slot is the number of a generation and some bits of the hash of project and id; of several
-- ids with one hash in one generation, each takes the next free slot.
CREATE TABLE task_ids (
    slot INTEGER PRIMARY KEY,
    key INTEGER NOT NULL
);

-- From the hash of an id that a task names (its root, parent, group ...) to that task.
CREATE TABLE task_links (
    link INTEGER NOT NULL,
    key INTEGER NOT NULL,
    PRIMARY KEY (link, key)
) WITHOUT ROWID;

CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    name TEXT NOT NULL,
    profile TEXT NOT NULL,
    buffer TEXT,
    adapters TEXT NOT NULL DEFAULT '{}',
    lost_batches INTEGER NOT NULL DEFAULT 0,
    quarantined_events INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    UNIQUE (project, name)
);

CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    agent INTEGER NOT NULL,
    instance_id TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    UNIQUE (agent, instance_id)
);

CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX batches_by_seq ON batches (stream, seq);

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    agent INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    raw TEXT NOT NULL
);
CREATE INDEX quarantine_by_project ON quarantine (project);

-- Statistics per minute, task type and queue. The id keeps a changed row on one page.
CREATE TABLE rollups (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    name INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX rollups_by_minute ON rollups (project, minute, name, queue);

CREATE TABLE workers (
    project INTEGER NOT NULL,
    engine TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (project, name, engine)
) WITHOUT ROWID;

CREATE TABLE queues (
    project INTEGER NOT NULL,
    engine TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (project, name, engine)
) WITHOUT ROWID;

-- What agents told of their schedulers' entries.
CREATE TABLE schedules (
    project INTEGER NOT NULL,
    agent INTEGER NOT NULL,
    scheduler TEXT NOT NULL,
    id TEXT NOT NULL,
    data TEXT NOT NULL,
    synced_at INTEGER NOT NULL,
    PRIMARY KEY (project, agent, scheduler, id)
) WITHOUT ROWID;

CREATE TABLE commands (
    number INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    id TEXT NOT NULL,
    cmd TEXT NOT NULL,
    args TEXT NOT NULL,
    agent TEXT,
    status INTEGER NOT NULL,
    result TEXT,
    error TEXT,
    message TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    created_by TEXT NOT NULL,
    task_id TEXT,
    idempotency_key TEXT,
    UNIQUE (project, id)
);
CREATE UNIQUE INDEX commands_by_idempotency_key ON commands (project, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX commands_by_task ON commands (project, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX commands_open ON commands (status) WHERE status < 2;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT,
    detail TEXT,
    command_id TEXT
);
CREATE INDEX audit_by_project ON audit (project);

CREATE TABLE agent_tokens (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project INTEGER NOT NULL,
    agent TEXT,
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
);

CREATE TABLE api_keys (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project INTEGER NOT NULL,
    role INTEGER NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);

CREATE TABLE signin_links (
    hash BLOB PRIMARY KEY,
    role INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used_at INTEGER
) WITHOUT ROWID;

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    role INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

PRAGMA application_id = 1414548555; -- TPLK
PRAGMA user_version = 1;
