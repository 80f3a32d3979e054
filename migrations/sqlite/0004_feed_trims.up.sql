-- The oldest row that any trim of a feed has kept: what is older may have been trimmed.
CREATE TABLE IF NOT EXISTS feed_trims (
    username TEXT PRIMARY KEY NOT NULL,
    kept BLOB NOT NULL
) STRICT, WITHOUT ROWID;
