-- Counting: a census says of all tasks of a range of keys which of them are in a state, of a kind, with a worker. One row says
-- where it stands: tasks below `taken_until` are in censuses, and changes of tasks below `taking_until` are noted.
CREATE TABLE census_state (
    taken_until bigint NOT NULL,
    taking_until bigint NOT NULL,
    version bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO census_state VALUES (0, 0, 0);
CREATE TABLE censuses (
    id bigint PRIMARY KEY,
    low bigint NOT NULL, -- keys of its tasks: from here on,
    high bigint NOT NULL, -- and below this
    tasks integer NOT NULL
);
-- A place is the number of a census and of a row of it.
CREATE TABLE census_rows (
    place bigint PRIMARY KEY,
    body bytea NOT NULL
);
-- Rows stay whole, on their page.
ALTER TABLE census_rows SET (toast_tuple_target = 8160);
ALTER TABLE census_rows ALTER COLUMN body SET STORAGE EXTERNAL;
-- Tasks that are not, or not any more, what their census says.
CREATE TABLE census_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bigint NOT NULL
);
