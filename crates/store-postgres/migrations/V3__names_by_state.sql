-- Of a task type, each state by itself: counted and listed without a look at the others.
DROP INDEX tasks_by_name;
CREATE INDEX tasks_by_name ON tasks (project, name, state, key);
