-- How far the runs of each schedule have been judged.
CREATE TABLE schedule_watches (
    project INTEGER NOT NULL,
    scheduler TEXT NOT NULL,
    id TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (project, scheduler, id)
) WITHOUT ROWID;

-- Runs that schedules should have had, and what is known of each.
CREATE TABLE schedule_runs (
    number INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    scheduler TEXT NOT NULL,
    id TEXT NOT NULL,
    due INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE UNIQUE INDEX schedule_runs_by_due ON schedule_runs (project, scheduler, id, due);

PRAGMA user_version = 4;
