-- Of a task type, each state by itself: counted without a look at the tasks.
DROP INDEX tasks_by_name;
CREATE INDEX tasks_by_name ON tasks (project, name, state);

PRAGMA user_version = 3;
