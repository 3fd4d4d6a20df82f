-- How far the runs of each schedule have been judged.
CREATE TABLE schedule_watches (
    project integer NOT NULL,
    scheduler text NOT NULL,
    id text NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (project, scheduler, id)
) WITH (fillfactor = 70);

-- Runs that schedules should have had, and what is known of each.
CREATE TABLE schedule_runs (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project integer NOT NULL,
    scheduler text NOT NULL,
    id text NOT NULL,
    due bigint NOT NULL,
    data text NOT NULL,
    UNIQUE (project, scheduler, id, due)
);
