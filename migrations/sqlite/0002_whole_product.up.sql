-- Which tweet a user's Idempotency-Key stands for.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    username TEXT NOT NULL,
    key TEXT NOT NULL,
    tweet_id BLOB NOT NULL,
    content_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (username, key)
) STRICT, WITHOUT ROWID;

-- The tombstones of tweets, by id, with when they were made.
CREATE TABLE IF NOT EXISTS deleted_tweets (
    id BLOB PRIMARY KEY,
    deleted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What became of each tweet's delivery. A state of a later stage replaces one of an earlier.
CREATE TABLE IF NOT EXISTS deliveries (
    tweet_id BLOB PRIMARY KEY,
    username TEXT NOT NULL,
    state TEXT NOT NULL,
    stage INTEGER NOT NULL,
    delivered INTEGER,
    completed_at INTEGER
) STRICT, WITHOUT ROWID;

-- How many followers a user has, by bucket, as counted at that time (microseconds).
CREATE TABLE IF NOT EXISTS follower_counts (
    username TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    counted_at INTEGER NOT NULL,
    PRIMARY KEY (username, bucket)
) STRICT, WITHOUT ROWID;
