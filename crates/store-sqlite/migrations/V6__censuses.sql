-- Counting: a census says of all tasks of a range of keys which of them are in a state, of a kind, with a worker. One row says
-- where it stands: tasks below `taken_until` are in censuses, and changes of tasks below `taking_until` are noted.
CREATE TABLE census_state (
    taken_until INTEGER NOT NULL,
    taking_until INTEGER NOT NULL,
    version INTEGER NOT NULL
);
INSERT INTO census_state VALUES (0, 0, 0);
CREATE TABLE censuses (
    id INTEGER PRIMARY KEY,
    low INTEGER NOT NULL, -- keys of its tasks: from here on,
    high INTEGER NOT NULL, -- and below this
    tasks INTEGER NOT NULL
);
-- A place is the number of a census and of a row of it.
CREATE TABLE census_rows (
    place INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
-- Tasks that are not, or not any more, what their census says.
CREATE TABLE census_changes (
    id INTEGER PRIMARY KEY,
    key INTEGER NOT NULL
);

PRAGMA user_version = 6;
