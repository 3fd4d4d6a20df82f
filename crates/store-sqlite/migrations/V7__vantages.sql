-- What changes in PostgreSQL's tables is about brains that share them; versions count alike.
PRAGMA user_version = 7;
