-- The same tables as in ../cassandra. Where Cassandra keeps a write timestamp and a tombstone, a row here has written_at
-- (microseconds since 1970) and deleted. Times are integers: milliseconds where not said otherwise. Ids are 16 bytes.
CREATE TABLE IF NOT EXISTS users (
    username TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    display_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS refresh_tokens (
    family BLOB PRIMARY KEY,
    username TEXT NOT NULL,
    token_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tweets (
    id BLOB PRIMARY KEY,
    username TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tweets_by_user (
    username TEXT NOT NULL,
    id BLOB NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (username, id DESC)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS followers (
    username TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    follower TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (username, bucket, follower)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS followings (
    username TEXT NOT NULL,
    followee TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (username, followee)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS feed_items (
    username TEXT NOT NULL,
    tweet_id BLOB NOT NULL,
    author TEXT NOT NULL,
    content TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (username, tweet_id DESC)
) STRICT, WITHOUT ROWID;

-- For the purge of what was removed long ago: of removed rows alone, so a put pays nothing for them.
CREATE INDEX IF NOT EXISTS followers_deleted ON followers (written_at) WHERE deleted;

CREATE INDEX IF NOT EXISTS followings_deleted ON followings (written_at) WHERE deleted;

CREATE INDEX IF NOT EXISTS feed_items_deleted ON feed_items (written_at) WHERE deleted;
