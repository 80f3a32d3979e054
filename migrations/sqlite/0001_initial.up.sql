-- The same tables as in ../cassandra. Where Cassandra keeps a write timestamp and a tombstone, a row here has written_at
-- (microseconds since 1970) and removed. Times are integers: milliseconds where not said otherwise. Ids are 16 bytes.
-- A retired user has no e-mail address, display name and password hash. The row keeps the name taken: for good, or until
-- released_at (microseconds).
CREATE TABLE IF NOT EXISTS users (
    username TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    display_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired INTEGER NOT NULL,
    released_at INTEGER
) STRICT, WITHOUT ROWID;

-- One row per log-in, with the newest refresh token of its family, as a hash.
CREATE TABLE IF NOT EXISTS sessions (
    family BLOB PRIMARY KEY,
    username TEXT NOT NULL,
    client TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    refreshed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sessions_by_user ON sessions (username, family);

-- The families of the sessions that ended, and when they did (microseconds).
CREATE TABLE IF NOT EXISTS ended_sessions (
    family BLOB PRIMARY KEY,
    ended_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS ended_sessions_by_time ON ended_sessions (ended_at);

-- The log-ins to an account that failed, by the source they came from.
CREATE TABLE IF NOT EXISTS login_failures (
    username TEXT NOT NULL,
    source TEXT NOT NULL,
    count INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (username, source)
) STRICT, WITHOUT ROWID;

-- The sources that an account's owner logged in from.
CREATE TABLE IF NOT EXISTS known_sources (
    username TEXT NOT NULL,
    source TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (username, source)
) STRICT, WITHOUT ROWID;

-- The tweet that a user's Idempotency-Key stands for.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    username TEXT NOT NULL,
    key TEXT NOT NULL,
    tweet_id BLOB NOT NULL,
    request_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (username, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tweets (
    id BLOB PRIMARY KEY,
    username TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A user's tweets. A deleted one stays, with an empty body.
CREATE TABLE IF NOT EXISTS tweets_by_user (
    username TEXT NOT NULL,
    id BLOB NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (username, id DESC)
) STRICT, WITHOUT ROWID;

-- The ids of deleted tweets, when they were deleted (microseconds), and whether they were erased with all that their author had.
CREATE TABLE IF NOT EXISTS deleted_tweets (
    id BLOB PRIMARY KEY,
    deleted_at INTEGER NOT NULL,
    erased INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The state of each tweet's delivery. A state of a later stage replaces one of an earlier.
CREATE TABLE IF NOT EXISTS deliveries (
    tweet_id BLOB PRIMARY KEY,
    username TEXT NOT NULL,
    state TEXT NOT NULL,
    stage INTEGER NOT NULL,
    delivered INTEGER,
    completed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS followers (
    username TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    follower TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    PRIMARY KEY (username, bucket, follower)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS followings (
    username TEXT NOT NULL,
    followee TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    PRIMARY KEY (username, followee)
) STRICT, WITHOUT ROWID;

-- How many followers a user has, by bucket.
CREATE TABLE IF NOT EXISTS follower_counts (
    username TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (username, bucket)
) STRICT, WITHOUT ROWID;

-- A row is an item, a tombstone (removed) or the mark of a deleted tweet (retracted). The last two have no author and no body.
CREATE TABLE IF NOT EXISTS feed_items (
    username TEXT NOT NULL,
    tweet_id BLOB NOT NULL,
    author TEXT NOT NULL,
    body TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    retracted INTEGER NOT NULL,
    PRIMARY KEY (username, tweet_id DESC)
) STRICT, WITHOUT ROWID;

-- For the purge of old tombstones. They index tombstones alone, so a put doesn't write to them.
CREATE INDEX IF NOT EXISTS followers_removed ON followers (written_at) WHERE removed;

CREATE INDEX IF NOT EXISTS followings_removed ON followings (written_at) WHERE removed;

CREATE INDEX IF NOT EXISTS feed_items_removed ON feed_items (written_at) WHERE removed;
