-- Where the agents of other brains stand: which engines' messages they keep, on which host, in which role.
ALTER TABLE replica_connections ADD COLUMN captures text[] NOT NULL DEFAULT '{}';
ALTER TABLE replica_connections ADD COLUMN host text NOT NULL DEFAULT '';
ALTER TABLE replica_connections ADD COLUMN role text NOT NULL DEFAULT '';
