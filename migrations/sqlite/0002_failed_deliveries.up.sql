-- How many feeds could not be written, by the stage of the delivery's state: a table of its own, because SQLite has no ADD COLUMN IF
-- NOT EXISTS. Nearly every delivery has no row here.
CREATE TABLE IF NOT EXISTS failed_deliveries (
    tweet_id BLOB NOT NULL,
    stage INTEGER NOT NULL,
    feeds INTEGER NOT NULL,
    PRIMARY KEY (tweet_id, stage)
) STRICT, WITHOUT ROWID;
