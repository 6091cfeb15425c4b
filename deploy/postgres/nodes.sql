-- The nodes that a backfiller asks (--node-database); one row is a peer:
-- INSERT INTO nodes VALUES ('node-2', 'https://node-2.example.com');
CREATE TABLE nodes(
    name text PRIMARY KEY,
    url text NOT NULL,
    backfill_from boolean NOT NULL DEFAULT true
);
