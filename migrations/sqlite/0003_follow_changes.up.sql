-- What else is known of the last change of an edge in followings, which SQLite can't give further columns by a statement that can be
-- run again: the id of the tweet from which on the feed has the followee's, and the requests of the last changes, as JSON.
CREATE TABLE IF NOT EXISTS follow_changes (
    follower TEXT NOT NULL,
    followee TEXT NOT NULL,
    since BLOB NOT NULL,
    requests TEXT NOT NULL,
    PRIMARY KEY (follower, followee)
) STRICT, WITHOUT ROWID;
